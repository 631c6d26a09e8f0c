-- Schemas by room, and the two functions every table with a tenant is built on.
CREATE SCHEMA app;
CREATE SCHEMA market;
CREATE SCHEMA audit;
CREATE SCHEMA identity;
CREATE SCHEMA trading;

REVOKE ALL ON SCHEMA public FROM PUBLIC;
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES REVOKE USAGE ON TYPES FROM PUBLIC;

GRANT USAGE ON SCHEMA app TO "database", identity, trading;
GRANT USAGE ON SCHEMA market TO "database";
GRANT USAGE ON SCHEMA audit TO "database", identity, trading;
GRANT USAGE ON SCHEMA identity TO identity;
GRANT USAGE ON SCHEMA trading TO trading;

-- Whose rows this transaction may touch; NULL outside of every tenant. After a transaction the
-- setting is an empty string and not NULL, hence the nullif.
CREATE FUNCTION app.tenant() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(pg_catalog.current_setting('app.tenant', true), '')::uuid;
GRANT EXECUTE ON FUNCTION app.tenant() TO "database", identity, trading;

-- Builds the wall around a table with a column tenant_id: own rows only, for its owner too.
CREATE FUNCTION app.guard_tenant_table(guarded regclass) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog
AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', guarded);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', guarded);
    EXECUTE format('ALTER TABLE %s ALTER COLUMN tenant_id SET NOT NULL', guarded);
    EXECUTE format('ALTER TABLE %s ALTER COLUMN tenant_id SET DEFAULT app.tenant()', guarded);
    EXECUTE format('CREATE POLICY own_tenant ON %s USING (tenant_id = app.tenant())'
                   ' WITH CHECK (tenant_id = app.tenant())', guarded);
END $$;
