-- What people may read of the tables, without a word of SQL: one view for each kind of record.
-- `records` holds an organisation's own rows (row security decides, as everywhere), `operations`
-- what concerns the installation. No view shows a secret, a hash of one, or personal data.
CREATE SCHEMA records;
CREATE SCHEMA operations;
GRANT USAGE ON SCHEMA records, operations TO "database";

GRANT SELECT (role, created_at) ON identity.users TO "database";
GRANT SELECT (tenant_id, id, state, certificate_ends_at, created_at, enrolled_at, revoked_at)
    ON identity.devices TO "database";
GRANT SELECT (tenant_id, id, currency, margin_mode, simulated, device_id, created_at)
    ON identity.accounts TO "database";
GRANT SELECT (created_at) ON identity.tenants TO "database";

CREATE VIEW records.users WITH (security_invoker = true) AS
SELECT id::text AS key, id, role, state, created_at FROM identity.users;
COMMENT ON VIEW records.users IS 'People by id: role, state, since when.';

CREATE VIEW records.devices WITH (security_invoker = true) AS
SELECT id::text AS key, id, state, certificate_ends_at, created_at, enrolled_at, revoked_at
  FROM identity.devices;
COMMENT ON VIEW records.devices IS 'Installed clients and when their certificate ends.';

CREATE VIEW records.accounts WITH (security_invoker = true) AS
SELECT id::text AS key, id, currency, margin_mode, simulated, device_id, created_at
  FROM identity.accounts;
COMMENT ON VIEW records.accounts IS 'Broker accounts and the device that executes each.';

CREATE VIEW records.subscriptions WITH (security_invoker = true) AS
SELECT plan AS key, plan, features, state, valid_from, valid_to, version
  FROM identity.subscriptions;
COMMENT ON VIEW records.subscriptions IS 'What the organisation is entitled to.';

CREATE VIEW records.user_subscriptions WITH (security_invoker = true) AS
SELECT user_id::text AS key, user_id, tier, features, state, valid_from, valid_to, version
  FROM identity.user_subscriptions;
COMMENT ON VIEW records.user_subscriptions IS 'What single people are entitled to.';

CREATE VIEW records.streams WITH (security_invoker = true) AS
SELECT s.id::text AS key, s.id, s.device_id, s.broker, s.symbol, s.epoch, s.digits, s.opened_at,
       coalesce((SELECT sum(upper(r) - lower(r)) FROM unnest(m.stored) AS r), 0) AS ticks,
       coalesce((SELECT count(*) FROM unnest(m.stored)), 0) AS ranges,
       upper(m.stored) - 1 AS last_sequence, m.updated_at
  FROM market.streams s
  LEFT JOIN market.tick_marks m ON m.tenant_id = s.tenant_id AND m.stream_id = s.id;
COMMENT ON VIEW records.streams IS
    'Streams of ticks and how many are stored; more than one range means a hole.';

CREATE VIEW records.errors WITH (security_invoker = true) AS
SELECT fingerprint AS key, fingerprint, code, severity, impact, services, occurrences, first_seen,
       last_seen, message
  FROM errors.errors;
COMMENT ON VIEW records.errors IS 'Errors, folded by kind.';

CREATE VIEW records.resolutions WITH (security_invoker = true) AS
SELECT id::text AS key, id, fingerprint, note, author, created_at, updated_at
  FROM errors.resolutions;
COMMENT ON VIEW records.resolutions IS 'What solved an error.';

CREATE VIEW records.settings WITH (security_invoker = true) AS
SELECT setting AS key, setting, value, changed_at, changed_by FROM app.tenant_settings;
COMMENT ON VIEW records.settings IS 'Settings that were granted to the organisation.';

CREATE VIEW operations.tenants WITH (security_invoker = true) AS
SELECT id::text AS key, id, name, state, created_at FROM identity.tenants;
COMMENT ON VIEW operations.tenants IS 'Organisations.';

CREATE VIEW operations.backups WITH (security_invoker = true) AS
SELECT id::text AS key, id, state, target, began_at, ended_at, size_bytes, content_bytes, took_ms,
       verified_at, reason
  FROM app.backups;
COMMENT ON VIEW operations.backups IS 'Backups and what became of them.';

CREATE VIEW operations.segments WITH (security_invoker = true) AS
SELECT spool_id::text || '/' || lpad(segment_id::text, 19, '0') AS key, spool_id, segment_id,
       row_count, stored_at
  FROM market.ingested_segments;
COMMENT ON VIEW operations.segments IS 'Segments that were stored lately.';

CREATE VIEW operations.log_deletions WITH (security_invoker = true) AS
SELECT encode(sha256, 'hex') AS key, encode(sha256, 'hex') AS sha256, file, size_bytes, line_count,
       newest_on, decided_at, deleted_at
  FROM app.log_deletion;
COMMENT ON VIEW operations.log_deletions IS 'Receipts of log files that a policy removed.';

CREATE VIEW operations.chains WITH (security_invoker = true) AS
SELECT name AS key, name, origin, description, definition, updated_at FROM chains.chain_definitions;
COMMENT ON VIEW operations.chains IS 'Chains of parts, declared and custom.';

CREATE VIEW operations.sizes WITH (security_invoker = true) AS
SELECT format('%I.%I', n.nspname, c.relname) AS key, format('%I.%I', n.nspname, c.relname) AS name,
       pg_catalog.pg_total_relation_size(c.oid) AS bytes,
       greatest(c.reltuples, 0)::bigint AS rows_estimated
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'r'
   AND n.nspname IN ('app', 'market', 'audit', 'identity', 'trading', 'errors', 'chains');
COMMENT ON VIEW operations.sizes IS 'What each table takes, with its indexes.';

GRANT SELECT ON ALL TABLES IN SCHEMA records, operations TO "database";

-- One page of one view: rows after a key, in the order of the key. The name is quoted as an
-- identifier; every value is a parameter; the caller's own rights and row security decide.
CREATE FUNCTION operations.page(
    p_schema text, p_view text, p_after text, p_where jsonb, p_limit integer
) RETURNS TABLE (key text, record jsonb)
    LANGUAGE plpgsql STABLE SECURITY INVOKER SET search_path = pg_catalog
AS $$
BEGIN
    IF p_schema NOT IN ('records', 'operations') THEN
        RAISE EXCEPTION 'not a schema of records' USING ERRCODE = 'invalid_schema_name';
    END IF;
    RETURN QUERY EXECUTE format(
        'SELECT v.key::text, to_jsonb(v) - ''key'' FROM %I.%I AS v'
        ' WHERE v.key::text COLLATE "C" > $1 COLLATE "C"'
        '   AND NOT EXISTS (SELECT FROM jsonb_each_text($2) AS w(name, wanted)'
        '                    WHERE to_jsonb(v) ->> w.name IS DISTINCT FROM w.wanted)'
        ' ORDER BY v.key::text COLLATE "C" LIMIT $3', p_schema, p_view)
    USING p_after, p_where, p_limit;
END $$;
GRANT EXECUTE ON FUNCTION operations.page(text, text, text, jsonb, integer) TO "database";
