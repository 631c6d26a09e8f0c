-- name: names_around
SELECT u.id, u.name_sealed, u.display_name_sealed, u.password_hash, t.name AS tenant_name
  FROM identity.users u
  JOIN identity.tenants t ON t.id = u.tenant_id
 WHERE u.id = $1;

-- name: replace_password
UPDATE identity.users SET password_hash = $2, password_ends_at = NULL
 WHERE id = $1 AND password_hash = $3 AND state = 'active'
RETURNING id;

-- name: session_lives
SELECT EXISTS (SELECT FROM identity.sessions
                WHERE id = $1 AND user_id = $2 AND ended_at IS NULL
                  AND idle_until > $3 AND expires_at > $3);

-- name: forget_login_links
DELETE FROM identity.login_links WHERE user_id = $1;

-- name: forget_challenges
DELETE FROM identity.login_challenges WHERE user_id = $1;
