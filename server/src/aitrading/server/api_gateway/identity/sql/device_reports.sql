-- name: present
SELECT files, debugger, barred_at FROM identity.device_reports WHERE device_id = $1;

-- name: keep
INSERT INTO identity.device_reports AS kept (device_id, reported_at, report, files, debugger)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (tenant_id, device_id) DO UPDATE
   SET reported_at = EXCLUDED.reported_at, report = EXCLUDED.report, files = EXCLUDED.files,
       debugger = EXCLUDED.debugger;

-- name: bar
UPDATE identity.device_reports SET barred_at = $2, barred_reason = $3
 WHERE device_id = $1 AND barred_at IS NULL
RETURNING device_id;

-- name: allow
UPDATE identity.device_reports SET barred_at = NULL, barred_reason = NULL
 WHERE device_id = $1 AND barred_at IS NOT NULL
RETURNING barred_reason;

-- name: standing
SELECT barred_reason FROM identity.device_reports WHERE device_id = $1;

-- name: list
SELECT r.device_id, r.reported_at, r.report, r.barred_at, r.barred_reason
  FROM identity.device_reports r JOIN identity.devices d ON d.id = r.device_id
 WHERE d.state = 'active' OR r.barred_at IS NOT NULL
 ORDER BY r.device_id LIMIT $1;
