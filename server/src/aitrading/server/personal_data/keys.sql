-- name: find_key
SELECT master, wrapped FROM app.tenant_keys;

-- name: insert_key
INSERT INTO app.tenant_keys (master, wrapped) VALUES ($1, $2)
ON CONFLICT DO NOTHING;

-- name: rewrap_key
UPDATE app.tenant_keys SET master = $1, wrapped = $2, wrapped_at = now();

-- name: lock_key
SELECT master, wrapped FROM app.tenant_keys FOR UPDATE;

-- name: delete_key
DELETE FROM app.tenant_keys WHERE tenant_id = $1;
