-- name: all
SELECT device_id, setting, value, changed_at, changed_by FROM identity.device_settings
 WHERE device_id IS NULL OR device_id = $1
 ORDER BY setting, device_id NULLS FIRST;

-- name: every
SELECT device_id, setting, value, changed_at, changed_by FROM identity.device_settings
 ORDER BY setting, device_id NULLS FIRST;

-- name: set
INSERT INTO identity.device_settings (id, device_id, setting, value, changed_at, changed_by)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (tenant_id, device_id, setting)
DO UPDATE SET value = excluded.value, changed_at = excluded.changed_at,
              changed_by = excluded.changed_by;

-- name: unset
DELETE FROM identity.device_settings WHERE device_id IS NOT DISTINCT FROM $1 AND setting = $2
RETURNING id;

-- name: known_device
SELECT id FROM identity.devices WHERE id = $1;

-- name: configuration
SELECT version, digest FROM identity.device_configurations WHERE device_id = $1 FOR UPDATE;

-- name: note
INSERT INTO identity.device_configurations
       (device_id, version, digest, made_at, used_version, used_digest, problem, asked_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $4)
ON CONFLICT (tenant_id, device_id)
DO UPDATE SET version = excluded.version, digest = excluded.digest, made_at = excluded.made_at,
              used_version = excluded.used_version, used_digest = excluded.used_digest,
              problem = excluded.problem, asked_at = excluded.asked_at;

-- name: configurations
SELECT device_id, version, digest, used_version, used_digest, problem, asked_at
  FROM identity.device_configurations ORDER BY device_id LIMIT $1;
