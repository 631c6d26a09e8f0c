-- name: list
SELECT setting, value::text AS value, changed_at, changed_by
  FROM app.tenant_settings
 ORDER BY setting;

-- name: grant
INSERT INTO app.tenant_settings (setting, value, changed_at, changed_by)
VALUES ($1, $2::text::jsonb, $3, $4)
ON CONFLICT (tenant_id, setting)
DO UPDATE SET value = excluded.value, changed_at = excluded.changed_at,
              changed_by = excluded.changed_by;

-- name: take_back
DELETE FROM app.tenant_settings WHERE setting = $1;
