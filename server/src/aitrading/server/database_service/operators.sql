-- name: tenant_name
SELECT name FROM identity.tenants WHERE id = $1;
