-- name: record
INSERT INTO errors.errors AS e (fingerprint, code, kind, frames, message, severity, impact,
                                services, occurrences, first_seen, last_seen, trace_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, ARRAY[$8::text], $9, $10, $11, $12)
ON CONFLICT (tenant_id, fingerprint) DO UPDATE SET
    services = CASE WHEN $8::text = ANY (e.services) OR cardinality(e.services) >= 32
                    THEN e.services ELSE e.services || $8::text END,
    occurrences = e.occurrences + excluded.occurrences,
    first_seen = least(e.first_seen, excluded.first_seen),
    last_seen = greatest(e.last_seen, excluded.last_seen),
    trace_id = coalesce(excluded.trace_id, e.trace_id)
RETURNING occurrences = $9 AS is_new

-- name: forget_oldest
DELETE FROM errors.errors e
 WHERE e.fingerprint IN (SELECT fingerprint FROM errors.errors
                          ORDER BY last_seen DESC, fingerprint DESC OFFSET $1)
RETURNING fingerprint

-- name: page
SELECT fingerprint, code, message, severity, impact, services, occurrences, first_seen, last_seen,
       trace_id,
       (SELECT count(*) FROM errors.resolutions r
         WHERE r.tenant_id = e.tenant_id AND r.fingerprint = e.fingerprint) AS resolutions
  FROM errors.errors e
 WHERE $2::timestamptz IS NULL OR (last_seen, fingerprint) < ($2, $3::text)
 ORDER BY last_seen DESC, fingerprint DESC
 LIMIT $1

-- name: one
SELECT fingerprint, code, kind, frames, message, severity, impact, services, occurrences,
       first_seen, last_seen, trace_id,
       (SELECT count(*) FROM errors.resolutions r
         WHERE r.tenant_id = e.tenant_id AND r.fingerprint = e.fingerprint) AS resolutions
  FROM errors.errors e WHERE fingerprint = $1

-- name: newest_with_code
SELECT fingerprint, code, kind, frames, message FROM errors.errors
 WHERE code = $1 ORDER BY last_seen DESC, fingerprint DESC LIMIT 1

-- name: not_indexed
SELECT fingerprint, code, kind, frames, message FROM errors.errors
 WHERE indexed_in IS DISTINCT FROM $1
 ORDER BY last_seen DESC, fingerprint DESC LIMIT $2

-- name: mark_indexed
UPDATE errors.errors SET indexed_in = $1 WHERE fingerprint = ANY ($2)

-- name: several
SELECT fingerprint, code, message FROM errors.errors WHERE fingerprint = ANY ($1)

-- name: notes
SELECT fingerprint, note FROM errors.resolutions WHERE fingerprint = ANY ($1)
 ORDER BY created_at, id

-- name: resolutions
SELECT id, fingerprint, note, author, created_at, updated_at FROM errors.resolutions
 WHERE fingerprint = $1 ORDER BY created_at, id LIMIT 100

-- name: count_resolutions
SELECT count(*) FROM errors.resolutions WHERE fingerprint = $1

-- name: add_resolution
INSERT INTO errors.resolutions (id, fingerprint, note, author, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $5)
RETURNING id, fingerprint, note, author, created_at, updated_at

-- name: change_resolution
UPDATE errors.resolutions SET note = $3, author = $4, updated_at = $5
 WHERE fingerprint = $1 AND id = $2
RETURNING id, fingerprint, note, author, created_at, updated_at

-- name: delete_resolution
DELETE FROM errors.resolutions WHERE fingerprint = $1 AND id = $2
