-- name: of_tenant
SELECT setting, value::text AS value FROM app.tenant_settings ORDER BY setting;
