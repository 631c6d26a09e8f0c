-- name: all
SELECT id, service, name, kind, labels::text AS labels, bounds, last_seen_on
  FROM app.metric_series

-- name: note
INSERT INTO app.metric_series (id, service, name, kind, labels, bounds, last_seen_on)
VALUES ($1, $2, $3, $4, $5::text::jsonb, $6, $7)
ON CONFLICT (id) DO UPDATE SET last_seen_on = excluded.last_seen_on

-- name: forget
DELETE FROM app.metric_series WHERE id = ANY ($1::bigint[])

-- name: forget_before
DELETE FROM app.metric_series WHERE last_seen_on < $1
