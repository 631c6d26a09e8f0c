-- name: put_plan
INSERT INTO identity.subscriptions (plan, features, state, valid_from, valid_to, version)
VALUES ($1, $2, $3, $4, $5, 1)
ON CONFLICT (tenant_id) DO UPDATE
   SET plan = excluded.plan, features = excluded.features, state = excluded.state,
       valid_from = excluded.valid_from, valid_to = excluded.valid_to,
       version = identity.subscriptions.version + 1
RETURNING version;

-- name: find_plan
SELECT plan, features, state, valid_from, valid_to, version FROM identity.subscriptions;

-- name: plan_state
SELECT t.state <> 'active' AS suspended, s.plan, s.features, s.state, s.valid_from, s.valid_to,
       s.version
  FROM identity.tenants t
  LEFT JOIN identity.subscriptions s ON s.tenant_id = t.id
 WHERE t.id = $1;

-- name: put_user
INSERT INTO identity.user_subscriptions
       (user_id, tier, features, state, valid_from, valid_to, version)
VALUES ($1, $2, $3, $4, $5, $6, 1)
ON CONFLICT (tenant_id, user_id) DO UPDATE
   SET tier = excluded.tier, features = excluded.features, state = excluded.state,
       valid_from = excluded.valid_from, valid_to = excluded.valid_to,
       version = identity.user_subscriptions.version + 1
RETURNING version;

-- name: list_users
SELECT u.id, u.name_sealed FROM identity.users u ORDER BY u.id LIMIT $1;

-- name: set_plan_state
UPDATE identity.subscriptions SET state = $1, version = version + 1 RETURNING version;

-- name: set_user_state
UPDATE identity.user_subscriptions SET state = $2, version = version + 1
 WHERE user_id = $1 RETURNING version;
