-- name: hold_state
SELECT state FROM identity.tenants WHERE id = $1 FOR SHARE;

-- name: find_state
SELECT state FROM identity.tenants WHERE id = $1;

-- name: set_state
UPDATE identity.tenants SET state = $2 WHERE id = $1 AND state NOT IN ($2, 'erased')
RETURNING id;

-- name: end_sessions
UPDATE identity.sessions SET ended_at = $1, ended_reason = $2
 WHERE ended_at IS NULL AND expires_at > $1
RETURNING id;

-- name: raise_epoch
UPDATE identity.tenants SET token_epoch = token_epoch + 1, token_epoch_raised_at = $2
 WHERE id = $1
RETURNING id, token_epoch;

-- name: plan_version
SELECT version FROM identity.subscriptions;

-- name: revoke_devices
UPDATE identity.devices SET state = 'revoked', revoked_at = $1
 WHERE state <> 'revoked'
RETURNING id;

-- name: forget_login_links
DELETE FROM identity.login_links;

-- name: forget_totp
DELETE FROM identity.totp;

-- name: forget_security_keys
DELETE FROM identity.security_keys;

-- name: forget_key_challenges
DELETE FROM identity.key_challenges;

-- name: forget_recovery_codes
DELETE FROM identity.recovery_codes;

-- name: forget_challenges
DELETE FROM identity.login_challenges;

-- name: forget_api_keys
DELETE FROM identity.api_keys;

-- name: forget_enrolment_codes
DELETE FROM identity.enrolment_codes;

-- name: forget_people
UPDATE identity.users SET state = 'suspended', password_hash = '';
