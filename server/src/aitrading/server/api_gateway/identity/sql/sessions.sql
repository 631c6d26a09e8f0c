-- name: insert_session
INSERT INTO identity.sessions
       (id, user_id, authentication, authenticated_at, idle_until, expires_at)
VALUES ($1, $2, $3, $4, $5, $6);

-- name: insert_refresh_token
INSERT INTO identity.refresh_tokens (session_id, hash, state) VALUES ($1, $2, 'live');

-- name: use_refresh_token
UPDATE identity.refresh_tokens SET state = 'used', used_at = $3
 WHERE session_id = $1 AND hash = $2 AND state = 'live'
RETURNING session_id;

-- name: find_refresh_token
SELECT used_at FROM identity.refresh_tokens WHERE session_id = $1 AND hash = $2;

-- name: continue_session
UPDATE identity.sessions SET idle_until = least($3, expires_at)
 WHERE id = $1 AND ended_at IS NULL AND idle_until > $2 AND expires_at > $2
RETURNING user_id, authentication, authenticated_at;

-- name: end_session
UPDATE identity.sessions SET ended_at = $2, ended_reason = $3
 WHERE id = $1 AND ended_at IS NULL
RETURNING id;

-- name: end_sessions_of_user
UPDATE identity.sessions SET ended_at = $2, ended_reason = $3
 WHERE user_id = $1 AND ended_at IS NULL AND expires_at > $2
RETURNING id;

-- name: recently_ended
SELECT id FROM identity.sessions WHERE ended_at > $1;
