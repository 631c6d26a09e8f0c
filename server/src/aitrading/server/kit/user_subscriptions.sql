-- name: find
SELECT u.state <> 'active' OR t.state <> 'active' AS suspended,
       s.plan, s.features, s.state, s.valid_from, s.valid_to, s.version,
       o.tier AS own_tier, o.features AS own_features, o.state AS own_state,
       o.valid_from AS own_valid_from, o.valid_to AS own_valid_to, o.version AS own_version
  FROM identity.users u
  JOIN identity.tenants t ON t.id = u.tenant_id
  LEFT JOIN identity.subscriptions s ON s.tenant_id = u.tenant_id
  LEFT JOIN identity.user_subscriptions o ON o.tenant_id = u.tenant_id AND o.user_id = u.id
 WHERE u.id = $1;
