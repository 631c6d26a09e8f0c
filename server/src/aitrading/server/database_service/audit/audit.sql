-- name: audit_logs
SELECT id, occurred_at, service, actor, action, subject, outcome, security, trace_id,
       details::text AS details
  FROM audit.audit_logs
 WHERE id < $1 AND id >= $2
   AND occurred_at >= coalesce($3, '-infinity'::timestamptz)
   AND occurred_at < coalesce($4, 'infinity'::timestamptz)
   AND ($5::text IS NULL OR action = $5)
 ORDER BY id DESC
 LIMIT $6;

-- name: security_events
SELECT id, occurred_at, service, actor, action, subject, outcome, security, trace_id,
       details::text AS details
  FROM audit.security_events
 WHERE id < $1 AND id >= $2
   AND occurred_at >= coalesce($3, '-infinity'::timestamptz)
   AND occurred_at < coalesce($4, 'infinity'::timestamptz)
   AND ($5::text IS NULL OR action = $5)
 ORDER BY id DESC
 LIMIT $6;

-- name: size
SELECT pg_total_relation_size('audit.pending') AS bytes,
       (SELECT greatest(reltuples, pg_stat_get_live_tuples(oid), 0)::bigint FROM pg_class
         WHERE oid = 'audit.pending'::regclass) AS rows_estimated;

-- name: tenants
SELECT id FROM identity.tenants;

-- name: oldest
SELECT occurred_at FROM audit.audit_logs ORDER BY id LIMIT 1;
