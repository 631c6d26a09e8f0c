-- name: insert_api_key
INSERT INTO identity.api_keys (id, user_id, hash, thumbprint, scopes, created_at, expires_at, created_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: count_api_keys
SELECT count(*) FROM identity.api_keys WHERE revoked_at IS NULL AND expires_at > $1;

-- name: use_api_key
UPDATE identity.api_keys
   SET last_used_at = $4,
       -- more than a burst is owed only where the clock was set back: then nothing is
       paced_until = CASE WHEN paced_until > $4 + $6::interval THEN $4
                          ELSE greatest(paced_until, $4) END + $5::interval
 WHERE id = $1 AND revoked_at IS NULL AND expires_at > $4
   AND hash IS NOT DISTINCT FROM $2 AND thumbprint IS NOT DISTINCT FROM $3
   AND (paced_until IS NULL OR paced_until <= $4 + $6::interval
        OR paced_until > $4 + $6::interval + $5::interval)
RETURNING user_id, scopes, created_at, expires_at;

-- name: pace_of_api_key
SELECT paced_until FROM identity.api_keys
 WHERE id = $1 AND revoked_at IS NULL AND expires_at > $4
   AND hash IS NOT DISTINCT FROM $2 AND thumbprint IS NOT DISTINCT FROM $3;

-- name: list_api_keys
SELECT u.id, u.name_sealed, u.display_name_sealed, k.id AS key, k.scopes, k.thumbprint,
       k.created_at, k.expires_at, k.revoked_at, k.last_used_at, k.created_by
  FROM identity.api_keys k
  JOIN identity.users u ON u.tenant_id = k.tenant_id AND u.id = k.user_id
 ORDER BY k.id LIMIT $1;

-- name: revoke_api_key
UPDATE identity.api_keys SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL
RETURNING user_id;

-- name: api_key_exists
SELECT true FROM identity.api_keys WHERE id = $1;

-- name: live_keys_of_maker
SELECT u.id, u.name_sealed, u.display_name_sealed, k.id AS key, k.user_id, k.scopes
  FROM identity.api_keys k
  JOIN identity.users u ON u.tenant_id = k.tenant_id AND u.id = k.user_id
 WHERE k.created_by = $1 AND k.revoked_at IS NULL AND k.expires_at > $2
 ORDER BY k.id;

-- name: count_keys_of_unknown_makers
SELECT count(*) FROM identity.api_keys
 WHERE created_by IS NULL AND revoked_at IS NULL AND expires_at > $1;
