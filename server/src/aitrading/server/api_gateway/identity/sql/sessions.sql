-- name: insert_session
INSERT INTO identity.sessions
       (id, user_id, authentication, authenticated_at, idle_until, expires_at, used_at,
        network_kind, network_index)
VALUES ($1, $2, $3, $4, $5, $6, $4, $7, $8);

-- name: insert_refresh_token
INSERT INTO identity.refresh_tokens (session_id, hash, state) VALUES ($1, $2, 'live');

-- name: bind_session
UPDATE identity.sessions SET binding_kind = $2, binding = $3
 WHERE id = $1 AND ended_at IS NULL AND (binding IS NULL OR (binding_kind, binding) = ($2, $3))
RETURNING id;

-- name: use_refresh_token
UPDATE identity.refresh_tokens t
   SET state = 'used', used_at = $3, successor_salt = $6, successor_hash = $7
  FROM identity.sessions s
 WHERE t.session_id = $1 AND t.hash = $2 AND t.state = 'live'
   AND s.tenant_id = t.tenant_id AND s.id = t.session_id
   AND s.binding_kind IS NOT DISTINCT FROM $4 AND s.binding IS NOT DISTINCT FROM $5
RETURNING t.session_id;

-- name: find_refresh_token
SELECT t.used_at, t.successor_salt, n.hash AS successor,
       s.binding_kind IS NOT DISTINCT FROM $3 AND s.binding IS NOT DISTINCT FROM $4 AS is_bound_so
  FROM identity.refresh_tokens t
  JOIN identity.sessions s ON s.tenant_id = t.tenant_id AND s.id = t.session_id
  LEFT JOIN identity.refresh_tokens n
         ON n.tenant_id = t.tenant_id AND n.session_id = t.session_id
        AND n.hash = t.successor_hash AND n.state = 'live'
 WHERE t.session_id = $1 AND t.hash = $2;

-- name: continue_session
WITH before AS (
    SELECT network_index IS NOT NULL AND network_index IS DISTINCT FROM $5 AS moved
      FROM identity.sessions WHERE id = $1 FOR NO KEY UPDATE
)
UPDATE identity.sessions
   SET idle_until = least($3, expires_at), used_at = $2, network_kind = $4, network_index = $5,
       authenticated_at = CASE WHEN moved THEN least(authenticated_at, $6) ELSE authenticated_at END
  FROM before
 WHERE id = $1 AND ended_at IS NULL AND idle_until > $2 AND expires_at > $2
RETURNING user_id, authentication, authenticated_at, moved;

-- name: end_session
UPDATE identity.sessions SET ended_at = $2, ended_reason = $3
 WHERE id = $1 AND ended_at IS NULL
RETURNING id;

-- name: end_replaced_session
UPDATE identity.sessions s SET ended_at = $3, ended_reason = 'replaced'
  FROM identity.refresh_tokens t
 WHERE t.session_id = $1 AND t.hash = $2
   AND s.tenant_id = t.tenant_id AND s.id = t.session_id AND s.ended_at IS NULL
   AND s.binding_kind IS NOT DISTINCT FROM $4 AND s.binding IS NOT DISTINCT FROM $5
RETURNING s.user_id;

-- name: end_sessions_of_user
UPDATE identity.sessions SET ended_at = $2, ended_reason = $3
 WHERE user_id = $1 AND ended_at IS NULL AND expires_at > $2 AND id IS DISTINCT FROM $4::uuid
RETURNING id;

-- name: recently_ended
SELECT id FROM identity.sessions WHERE ended_at > $1;

-- name: recently_raised_users
SELECT id, token_epoch FROM identity.users WHERE token_epoch_raised_at > $1;

-- name: recently_raised_tenants
SELECT id, token_epoch FROM identity.tenants WHERE token_epoch_raised_at > $1;

-- name: raise_user_epoch
UPDATE identity.users SET token_epoch = token_epoch + 1, token_epoch_raised_at = $2
 WHERE id = $1
RETURNING id, token_epoch;
