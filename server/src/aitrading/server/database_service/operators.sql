-- name: tenant_name
SELECT name FROM identity.tenants WHERE id = $1;

-- name: tenant_by_name_or_id
SELECT id FROM identity.tenants WHERE name = $1 OR id::text = $1;
