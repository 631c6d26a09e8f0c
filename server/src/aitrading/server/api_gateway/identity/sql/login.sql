-- name: find_tenant
SELECT id FROM identity.tenants WHERE name = $1 AND state <> 'erased';

-- name: find_user_by_name
-- A clock that was set back gives a first password no longer life: the later of two counts.
SELECT id, password_hash,
       coalesce(password_ends_at <= greatest($2::timestamptz, now()), false) AS password_ended
  FROM identity.users WHERE name_index = $1;

-- name: hold_password
SELECT password_hash FROM identity.users WHERE id = $1 FOR SHARE;

-- name: find_user
SELECT u.id, u.name_sealed, u.display_name_sealed, u.role, u.state, t.name AS tenant_name,
       t.state AS tenant_state, coalesce(s.version, 0) AS entitlement_version,
       u.token_epoch AS user_epoch, t.token_epoch AS tenant_epoch, s.plan, o.tier AS own_tier,
       (SELECT jsonb_object_agg(substr(g.setting, length('limits.') + 1), g.value)::text
          FROM app.tenant_settings g WHERE g.setting LIKE 'limits.%') AS granted_limits
  FROM identity.users u
  JOIN identity.tenants t ON t.id = u.tenant_id
  LEFT JOIN identity.subscriptions s ON s.tenant_id = u.tenant_id
  LEFT JOIN identity.user_subscriptions o ON o.tenant_id = u.tenant_id AND o.user_id = u.id
 WHERE u.id = $1;

-- name: insert_login_link
INSERT INTO identity.login_links (hash, user_id, expires_at) VALUES ($1, $2, $3);

-- name: use_login_link
UPDATE identity.login_links SET used_at = $2
 WHERE hash = $1 AND used_at IS NULL AND expires_at > $2
RETURNING user_id;
