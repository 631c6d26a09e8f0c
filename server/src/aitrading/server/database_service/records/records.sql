-- name: kinds
SELECT n.nspname AS schema, c.relname AS name, coalesce(obj_description(c.oid), '') AS meaning,
       array_agg(a.attname::text ORDER BY a.attnum) AS columns,
       array_agg(format_type(a.atttypid, a.atttypmod) ORDER BY a.attnum) AS types
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND a.attname <> 'key'
 WHERE c.relkind = 'v' AND n.nspname = ANY ($1)
 GROUP BY n.nspname, c.oid, c.relname
 ORDER BY n.nspname DESC, c.relname;

-- name: page
SELECT key, record::text AS record FROM operations.page($1, $2, $3, $4::jsonb, $5);
