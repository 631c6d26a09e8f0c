-- The database service looks at the platform's own key before anybody is let in.
GRANT SELECT ON app.tenant_keys TO "database";
