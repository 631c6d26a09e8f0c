-- name: list
SELECT id, authentication, expires_at, used_at, network_kind
  FROM identity.sessions
 WHERE user_id = $1 AND ended_at IS NULL AND idle_until > $2 AND expires_at > $2
 ORDER BY expires_at DESC, id LIMIT $3;

-- name: end_one
UPDATE identity.sessions SET ended_at = $3, ended_reason = 'logout'
 WHERE id = $1 AND user_id = $2 AND ended_at IS NULL AND idle_until > $3 AND expires_at > $3
RETURNING id;

-- name: end_others
UPDATE identity.sessions SET ended_at = $3, ended_reason = 'logout'
 WHERE id <> $1 AND user_id = $2 AND ended_at IS NULL AND idle_until > $3 AND expires_at > $3
RETURNING id;
