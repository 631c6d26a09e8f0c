-- name: begin
INSERT INTO identity.key_challenges (purpose, bound_to, user_id, challenge, origin, expires_at)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (tenant_id, purpose, bound_to) DO UPDATE
   SET user_id = excluded.user_id, challenge = excluded.challenge, origin = excluded.origin,
       expires_at = excluded.expires_at;

-- name: take
DELETE FROM identity.key_challenges WHERE purpose = $1 AND bound_to = $2 AND user_id = $3
RETURNING challenge, origin, expires_at;

-- name: of_person
SELECT id, name_sealed, host, credential_id, added_at, used_at
  FROM identity.security_keys WHERE user_id = $1 ORDER BY added_at, id;

-- name: find
SELECT id, public_key, sign_count FROM identity.security_keys
 WHERE user_id = $1 AND credential_id = $2 AND host = $3 FOR UPDATE;

-- name: count
SELECT count(*) FROM identity.security_keys WHERE user_id = $1;

-- name: insert
INSERT INTO identity.security_keys
       (id, user_id, name_sealed, host, credential_id, public_key, sign_count, added_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (tenant_id, credential_id) DO NOTHING RETURNING id;

-- name: used
UPDATE identity.security_keys SET sign_count = $2, used_at = $3 WHERE id = $1;

-- name: forget_one
DELETE FROM identity.security_keys WHERE user_id = $1 AND id = $2 RETURNING id;

-- name: forget_keys
DELETE FROM identity.security_keys WHERE user_id = $1;

-- name: forget_challenges
DELETE FROM identity.key_challenges WHERE user_id = $1;
