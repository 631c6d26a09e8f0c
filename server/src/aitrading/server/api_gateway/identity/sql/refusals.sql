-- name: tenant_exists
SELECT EXISTS (SELECT FROM identity.tenants WHERE id = $1);
