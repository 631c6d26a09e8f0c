-- name: tenants
SELECT id FROM identity.tenants ORDER BY id;

-- name: enter
SELECT pg_catalog.set_config('app.tenant', $1, true);

-- name: users
SELECT id, name, display_name FROM identity.users WHERE name_sealed IS NULL FOR UPDATE;

-- name: seal_user
UPDATE identity.users
   SET name_sealed = $2, name_index = $3, display_name_sealed = $4, name = NULL, display_name = NULL
 WHERE id = $1;

-- name: devices
SELECT id, name FROM identity.devices WHERE name_sealed IS NULL FOR UPDATE;

-- name: seal_device
UPDATE identity.devices SET name_sealed = $2, name_index = $3, name = NULL WHERE id = $1;

-- name: accounts
SELECT id, name, broker_server, login FROM identity.accounts
 WHERE name_sealed IS NULL FOR UPDATE;

-- name: seal_account
UPDATE identity.accounts
   SET name_sealed = $2, login_sealed = $3, login_index = $4, name = NULL, login = NULL
 WHERE id = $1;
