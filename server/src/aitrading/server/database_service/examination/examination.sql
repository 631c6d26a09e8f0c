-- name: version
SELECT current_setting('server_version_num')::int / 10000 AS major, current_setting('server_version')

-- name: write
INSERT INTO errors.errors (fingerprint, code, kind, frames, message, severity, impact, services,
                           occurrences, first_seen, last_seen, indexed_in)
VALUES ($1, 'DOCTOR', '', '{}', $2, 'debug', 'none', '{doctor}', 1, now(), now(), 'doctor')
ON CONFLICT (tenant_id, fingerprint) DO UPDATE SET message = excluded.message

-- name: read
SELECT message FROM errors.errors WHERE fingerprint = $1

-- name: delete
DELETE FROM errors.errors WHERE fingerprint = $1
