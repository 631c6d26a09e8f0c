-- name: begin
INSERT INTO app.backups (id, state, target, began_at) VALUES ($1, 'running', $2, $3)

-- name: give_up_running
UPDATE app.backups
   SET state = 'failed', ended_at = $1, reason = 'its process ended before it was whole'
 WHERE state = 'running'
RETURNING id

-- name: end
UPDATE app.backups
   SET state = $2, ended_at = $3, size_bytes = $4, content_bytes = $5, took_ms = $6, reason = $7
 WHERE id = $1 AND state = 'running'

-- name: verified
UPDATE app.backups SET verified_at = $2 WHERE id = $1 AND state IN ('made', 'restored')

-- name: restored
INSERT INTO app.backups AS b (id, state, target, began_at, ended_at)
VALUES ($1, 'restored', $2, $3, $3)
ON CONFLICT (id) DO UPDATE SET state = 'restored', ended_at = excluded.ended_at

-- name: recent
SELECT id, state, target, began_at, size_bytes, took_ms, verified_at, reason
  FROM app.backups ORDER BY began_at DESC LIMIT $1

-- name: standing
SELECT (SELECT max(began_at) FROM app.backups WHERE state = 'made') AS newest,
       (SELECT state = 'made' FROM app.backups WHERE state IN ('made', 'failed')
         ORDER BY began_at DESC LIMIT 1) AS last_ok

-- name: forget_segment_names
DELETE FROM market.ingested_segments
