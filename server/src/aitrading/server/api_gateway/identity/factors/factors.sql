-- name: has_factor
SELECT EXISTS (SELECT FROM identity.totp WHERE user_id = $1 AND confirmed_at IS NOT NULL)
    OR EXISTS (SELECT FROM identity.security_keys WHERE user_id = $1);

-- name: has_key
SELECT EXISTS (SELECT FROM identity.security_keys WHERE user_id = $1);

-- name: status
SELECT (SELECT confirmed_at FROM identity.totp WHERE user_id = $1) AS totp_since,
       (SELECT count(*) FROM identity.recovery_codes
         WHERE user_id = $1 AND used_at IS NULL) AS recovery_codes_left;

-- name: begin_totp
INSERT INTO identity.totp AS known (id, user_id, secret_sealed, begun_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant_id, user_id) DO UPDATE
   SET id = excluded.id, secret_sealed = excluded.secret_sealed, begun_at = excluded.begun_at
 WHERE known.confirmed_at IS NULL
RETURNING id;

-- name: find_begun_totp
SELECT id, secret_sealed FROM identity.totp
 WHERE user_id = $1 AND confirmed_at IS NULL AND begun_at > $2 FOR UPDATE;

-- name: confirm_totp
UPDATE identity.totp SET confirmed_at = $2, last_step = $3
 WHERE id = $1 AND confirmed_at IS NULL RETURNING id;

-- name: find_totp
SELECT id, secret_sealed FROM identity.totp WHERE user_id = $1 AND confirmed_at IS NOT NULL;

-- name: use_totp_step
UPDATE identity.totp SET last_step = $2 WHERE id = $1 AND last_step < $2 RETURNING id;

-- name: forget_totp
DELETE FROM identity.totp WHERE user_id = $1 RETURNING confirmed_at;

-- name: insert_recovery_codes
INSERT INTO identity.recovery_codes (user_id, code_index) SELECT $1, unnest($2::bytea[]);

-- name: use_recovery_code
UPDATE identity.recovery_codes SET used_at = $3
 WHERE user_id = $1 AND code_index = $2 AND used_at IS NULL RETURNING user_id;

-- name: forget_recovery_codes
DELETE FROM identity.recovery_codes WHERE user_id = $1;

-- name: count_recovery_codes
SELECT count(*) FROM identity.recovery_codes WHERE user_id = $1 AND used_at IS NULL;

-- name: hold_person
SELECT id FROM identity.users WHERE id = $1 FOR NO KEY UPDATE;

-- name: hold_failures
SELECT code_failures, code_failed_at FROM identity.users WHERE id = $1 FOR NO KEY UPDATE;

-- name: note_failure
UPDATE identity.users SET code_failures = $2, code_failed_at = $3 WHERE id = $1;

-- name: forget_failures
UPDATE identity.users SET code_failures = 0, code_failed_at = NULL
 WHERE id = $1 AND code_failures > 0;

-- name: insert_challenge
INSERT INTO identity.login_challenges (hash, user_id, expires_at) VALUES ($1, $2, $3);

-- name: find_challenge
SELECT user_id FROM identity.login_challenges WHERE hash = $1;

-- name: find_open_challenge
SELECT user_id FROM identity.login_challenges
 WHERE hash = $1 AND used_at IS NULL AND expires_at > $2 AND attempts < $3;

-- name: try_challenge
UPDATE identity.login_challenges SET attempts = attempts + 1
 WHERE hash = $1 AND used_at IS NULL AND expires_at > $2 AND attempts < $3
RETURNING user_id;

-- name: use_challenge
UPDATE identity.login_challenges SET used_at = $2 WHERE hash = $1;

-- name: forget_challenges
DELETE FROM identity.login_challenges WHERE user_id = $1;

-- name: password_of
SELECT password_hash FROM identity.users WHERE id = $1;

-- name: hold_password
SELECT u.password_hash,
       EXISTS (SELECT FROM identity.totp t
                WHERE t.user_id = u.id AND t.confirmed_at IS NOT NULL)
    OR EXISTS (SELECT FROM identity.security_keys k WHERE k.user_id = u.id) AS has_factor
  FROM identity.users u WHERE u.id = $1 FOR SHARE OF u;

-- name: prove_session
UPDATE identity.sessions SET authentication = $3, authenticated_at = $4
 WHERE id = $1 AND user_id = $2 AND ended_at IS NULL AND idle_until > $4 AND expires_at > $4
RETURNING id;
