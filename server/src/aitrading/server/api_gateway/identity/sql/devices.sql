-- name: insert_device
INSERT INTO identity.devices (id, name_sealed, name_index, created_at)
VALUES ($1, $2, $3, $4);

-- name: insert_enrolment_code
INSERT INTO identity.enrolment_codes (hash, device_id, expires_at) VALUES ($1, $2, $3);

-- name: use_enrolment_code
UPDATE identity.enrolment_codes SET used_at = $2
 WHERE hash = $1 AND used_at IS NULL AND expires_at > $2
RETURNING device_id;

-- name: enrol_device
UPDATE identity.devices
   SET state = 'active', public_key = $2, certificate_sha256 = $3, certificate_ends_at = $4,
       enrolled_at = $5
 WHERE id = $1 AND state = 'invited'
RETURNING id;

-- name: renew_device
UPDATE identity.devices
   SET public_key = $3, certificate_sha256 = $4, certificate_ends_at = $5
 WHERE id = $1 AND state = 'active' AND public_key = $2
RETURNING id;

-- name: find_device
SELECT id, name_sealed, state, public_key, certificate_sha256, certificate_ends_at, enrolled_at
  FROM identity.devices WHERE id = $1;

-- name: limits_of_devices
SELECT (SELECT plan FROM identity.subscriptions) AS plan,
       (SELECT jsonb_object_agg(substr(setting, length('limits.') + 1), value)::text
          FROM app.tenant_settings WHERE setting LIKE 'limits.%') AS granted_limits;

-- name: list_devices
SELECT id, name_sealed, state, public_key, certificate_sha256, certificate_ends_at, enrolled_at
  FROM identity.devices ORDER BY id LIMIT $1;

-- name: devices_by_id
SELECT id, name_sealed FROM identity.devices WHERE id = ANY ($1);

-- name: revoke_device
UPDATE identity.devices SET state = 'revoked', revoked_at = $2
 WHERE id = $1 AND state <> 'revoked'
RETURNING id;

-- name: find_device_by_name
SELECT id, state FROM identity.devices WHERE name_index = $1 AND state <> 'revoked' FOR UPDATE;

-- name: forget_enrolment_codes
DELETE FROM identity.enrolment_codes WHERE device_id = $1;

-- name: hold_device_with_epoch
SELECT d.state, d.certificate_sha256, d.certificate_ends_at, t.token_epoch AS tenant_epoch
  FROM identity.devices d JOIN identity.tenants t ON t.id = d.tenant_id
 WHERE d.id = $1
   FOR UPDATE OF d;

-- name: recently_revoked_devices
SELECT id FROM identity.devices WHERE revoked_at > $1;
