-- name: insert_tenant
INSERT INTO identity.tenants (id, name, created_at) VALUES ($1, $2, $3);

-- name: list_tenants
SELECT id, name, state, created_at FROM identity.tenants ORDER BY name LIMIT $1;

-- name: all_tenants
SELECT id FROM identity.tenants ORDER BY id;

-- name: tenants_with_keys
SELECT id FROM identity.tenants WHERE state <> 'erased' ORDER BY id;

-- name: find_tenant
SELECT id, name, state, created_at FROM identity.tenants WHERE id::text = $1 OR name = $1;

-- name: insert_user
INSERT INTO identity.users
       (id, name_sealed, name_index, display_name_sealed, role, password_hash, created_at,
        password_ends_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: list_users
SELECT id, name_sealed, display_name_sealed, role, state, created_at, password_ends_at,
       coalesce(password_ends_at <= greatest($2::timestamptz, now()), false) AS password_ended
  FROM identity.users ORDER BY id LIMIT $1;

-- name: users_by_id
SELECT id, name_sealed, display_name_sealed FROM identity.users WHERE id = ANY ($1);

-- name: set_password
UPDATE identity.users SET password_hash = $2, password_ends_at = $3 WHERE id = $1 RETURNING id;

-- name: forget_login_links
DELETE FROM identity.login_links WHERE user_id = $1;

-- name: forget_challenges
DELETE FROM identity.login_challenges WHERE user_id = $1;

-- name: set_user_state
UPDATE identity.users SET state = $2 WHERE id = $1 RETURNING id;

-- name: set_user_role
UPDATE identity.users SET role = $2 WHERE id = $1 AND role <> $2 RETURNING id;

-- name: insert_account
INSERT INTO identity.accounts
       (id, name_sealed, broker_server, login_sealed, login_index, currency, margin_mode, simulated,
        device_id, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10);

-- name: set_account_device
UPDATE identity.accounts SET device_id = $2 WHERE id = $1
RETURNING id, name_sealed, broker_server, login_sealed, currency, margin_mode, simulated,
          device_id AS device;

-- name: list_accounts
SELECT id, name_sealed, broker_server, login_sealed, currency, margin_mode, simulated,
       device_id AS device
  FROM identity.accounts ORDER BY id LIMIT $1;
