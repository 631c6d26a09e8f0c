-- The wall between tenants, as the catalogue tells it: one row per weakness, none when it holds.
-- $1 text[]: schemas to look at. $2 text[]: policies that are exceptions, 'schema.table/policy'.
WITH tenant_table AS (
    SELECT c.oid, c.relrowsecurity, c.relforcerowsecurity,
           format('%I.%I', n.nspname, c.relname) AS name,
           a.attnum, a.attnotnull
      FROM pg_catalog.pg_class c
      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_catalog.pg_attribute a
        ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
     WHERE c.relkind IN ('r', 'p') AND n.nspname = ANY ($1)
), policy AS (
    SELECT t.name, p.polname,
           coalesce(pg_catalog.pg_get_expr(p.polqual, p.polrelid), '') AS using_text,
           coalesce(pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid), '') AS check_text,
           p.polqual IS NOT NULL AS has_using, p.polwithcheck IS NOT NULL AS has_check
      FROM pg_catalog.pg_policy p
      JOIN tenant_table t ON t.oid = p.polrelid
     WHERE p.polpermissive
       AND NOT format('%s/%s', t.name, p.polname) = ANY ($2)
), service_role AS (
    SELECT r.oid, r.rolname FROM pg_catalog.pg_roles r
     WHERE r.rolcanlogin AND NOT r.rolsuper AND r.rolname <> 'migrator'
)
SELECT name AS object, 'row security is off' AS weakness
  FROM tenant_table WHERE NOT relrowsecurity
UNION ALL
SELECT name, 'row security is not forced: the owner walks around it'
  FROM tenant_table WHERE NOT relforcerowsecurity
UNION ALL
SELECT name, 'tenant_id may be null' FROM tenant_table WHERE NOT attnotnull
UNION ALL
SELECT t.name, 'no policy' FROM tenant_table t
 WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_policy p WHERE p.polrelid = t.oid)
UNION ALL
SELECT name, format('policy %I does not compare tenant_id with app.tenant()', polname)
  FROM policy
 WHERE (has_using AND using_text NOT LIKE '%tenant_id = %app.tenant()%')
    OR (has_check AND check_text NOT LIKE '%tenant_id = %app.tenant()%')
    OR using_text ~* '\mor\M' OR check_text ~* '\mor\M'
UNION ALL
SELECT t.name, format('unique index %s without tenant_id tells of other tenants'' keys',
                      i.indexrelid::regclass)
  FROM pg_catalog.pg_index i
  JOIN tenant_table t ON t.oid = i.indrelid
 WHERE i.indisunique AND NOT t.attnum = ANY (i.indkey::int[])
UNION ALL
SELECT t.name, format('foreign key %I without tenant_id reaches other tenants'' rows', k.conname)
  FROM pg_catalog.pg_constraint k
  JOIN tenant_table t ON t.oid = k.conrelid
  JOIN tenant_table target ON target.oid = k.confrelid
 WHERE k.contype = 'f' AND NOT t.attnum = ANY (k.conkey)
UNION ALL
SELECT format('%I.%I', n.nspname, c.relname), 'view without security_invoker'
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'v' AND n.nspname = ANY ($1)
   AND NOT coalesce(c.reloptions, '{}') && ARRAY['security_invoker=true', 'security_invoker=on']
UNION ALL
SELECT format('%I.%I', n.nspname, c.relname), 'materialised view: row security cannot guard it'
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'm' AND n.nspname = ANY ($1)
UNION ALL
SELECT f.oid::regprocedure::text, 'SECURITY DEFINER without a fixed search_path'
  FROM pg_catalog.pg_proc f
  JOIN pg_catalog.pg_namespace n ON n.oid = f.pronamespace
 WHERE f.prosecdef AND n.nspname = ANY ($1)
   AND NOT EXISTS (SELECT FROM unnest(coalesce(f.proconfig, '{}')) AS setting
                    WHERE setting LIKE 'search\_path=%')
UNION ALL
SELECT rolname, 'role ignores row security (BYPASSRLS)'
  FROM pg_catalog.pg_roles
 WHERE rolbypassrls AND NOT rolsuper AND rolname NOT LIKE 'pg\_%'
UNION ALL
SELECT format('%I.%I', n.nspname, c.relname), format('%s may TRUNCATE it', s.rolname)
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  CROSS JOIN service_role s
 WHERE c.relkind IN ('r', 'p') AND n.nspname = ANY ($1)
   AND pg_catalog.has_table_privilege(s.oid, c.oid, 'TRUNCATE')
UNION ALL
SELECT format('%I.%I', n.nspname, c.relname), format('%s may point foreign keys at it', s.rolname)
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  CROSS JOIN service_role s
 WHERE c.relkind IN ('r', 'p') AND n.nspname = ANY ($1)
   AND pg_catalog.has_table_privilege(s.oid, c.oid, 'REFERENCES')
UNION ALL
SELECT format('%I', n.nspname), format('%s may create objects in it', s.rolname)
  FROM pg_catalog.pg_namespace n
  CROSS JOIN service_role s
 WHERE n.nspname = ANY ($1) AND pg_catalog.has_schema_privilege(s.oid, n.oid, 'CREATE')
ORDER BY 1, 2
