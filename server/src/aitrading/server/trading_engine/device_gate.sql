-- name: barred_for_account
SELECT r.device_id, r.barred_reason
  FROM identity.device_reports r JOIN identity.accounts a ON a.device_id = r.device_id
 WHERE r.barred_at IS NOT NULL AND ($1::uuid IS NULL OR a.id = $1)
 LIMIT 1;

-- name: barred
SELECT device_id, barred_reason, barred_at FROM identity.device_reports
 WHERE barred_at IS NOT NULL ORDER BY barred_at LIMIT 100;
