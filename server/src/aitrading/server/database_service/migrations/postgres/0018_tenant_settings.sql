-- Settings that were granted to one organisation; they win over the file of settings.
CREATE TABLE app.tenant_settings (
    tenant_id  uuid        NOT NULL,
    setting    text        NOT NULL CHECK (setting ~ '^[a-z][a-z0-9_]{0,62}\.[a-z][a-z0-9_]{0,62}$'),
    value      jsonb       NOT NULL CHECK (length(value::text) <= 4096),
    changed_at timestamptz NOT NULL,
    changed_by text        NOT NULL CHECK (length(changed_by) BETWEEN 1 AND 200),
    PRIMARY KEY (tenant_id, setting)
);
SELECT app.guard_tenant_table('app.tenant_settings');
GRANT SELECT, INSERT, UPDATE, DELETE ON app.tenant_settings TO "database";
GRANT SELECT ON app.tenant_settings TO identity, trading;
