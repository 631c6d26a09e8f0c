-- name: granted
SELECT setting, value::text AS value FROM app.tenant_settings
 WHERE setting IN ('login.networks', 'login.second_factor', 'login.first_password_h');

-- name: grant
INSERT INTO app.tenant_settings AS known (setting, value, changed_at, changed_by)
VALUES ($1, $2::text::jsonb, $3, $4)
ON CONFLICT (tenant_id, setting) DO UPDATE
   SET value = excluded.value, changed_at = excluded.changed_at, changed_by = excluded.changed_by
 WHERE known.value <> excluded.value
RETURNING setting;
