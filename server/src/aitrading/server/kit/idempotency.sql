-- name: find_write
SELECT request_sha256, answer::text AS answer FROM app.idempotent_writes WHERE key = $1;

-- name: forget_writes
DELETE FROM app.idempotent_writes WHERE written_at < now() - interval '7 days';

-- name: remember_write
INSERT INTO app.idempotent_writes (key, request_sha256, answer) VALUES ($1, $2, $3::text::jsonb);
