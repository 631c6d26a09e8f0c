-- name: forget_sessions
DELETE FROM identity.sessions WHERE least(idle_until, expires_at) < $1;

-- name: forget_refresh_tokens
DELETE FROM identity.refresh_tokens WHERE state = 'used' AND used_at < $1;

-- name: forget_login_links
DELETE FROM identity.login_links WHERE expires_at < $1;

-- name: forget_challenges
DELETE FROM identity.login_challenges WHERE expires_at < $1;

-- name: forget_begun_totp
DELETE FROM identity.totp WHERE confirmed_at IS NULL AND begun_at < $1;

-- name: forget_enrolment_codes
DELETE FROM identity.enrolment_codes WHERE expires_at < $1;

-- name: forget_key_challenges
DELETE FROM identity.key_challenges WHERE expires_at < $1;
