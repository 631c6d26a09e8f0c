-- A trace is called by what a service was asked for, and says why as the service does: the edge
-- knows neither. Of several services the one that began first counts.

-- name: keep
INSERT INTO traces.traces AS t (trace_id, began_at, ended_at, rank, code, name, service)
SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::smallint[], $5::text[],
                     $6::text[], $7::text[])
    ON CONFLICT (tenant_id, trace_id) DO UPDATE SET
       name = CASE WHEN (excluded.service = 'edge', excluded.began_at) < (t.service = 'edge', t.began_at)
                   THEN excluded.name ELSE t.name END,
       service = CASE WHEN (excluded.service = 'edge', excluded.began_at)
                           < (t.service = 'edge', t.began_at)
                      THEN excluded.service ELSE t.service END,
       code = CASE WHEN (excluded.code IS NULL, excluded.code LIKE 'HTTP%', -excluded.rank)
                        < (t.code IS NULL, t.code LIKE 'HTTP%', -t.rank)
                   THEN excluded.code ELSE t.code END,
       began_at = least(t.began_at, excluded.began_at),
       ended_at = greatest(t.ended_at, excluded.ended_at),
       rank = greatest(t.rank, excluded.rank)

-- name: keep_spans
INSERT INTO traces.spans (trace_id, span_id, parent_id, part_id, service, kind, name, began_ns,
                          took_ns, outcome, code, fingerprint, cut)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
                     $7::text[], $8::bigint[], $9::bigint[], $10::text[], $11::text[],
                     $12::text[], $13::int[])
    ON CONFLICT DO NOTHING

-- name: page
SELECT trace_id, began_at, ended_at, rank, code, name, service
  FROM traces.traces
 WHERE ($2::smallint IS NULL OR (rank, began_at, trace_id) < ($2, $3::timestamptz, $4::text))
   AND ($5::smallint IS NULL OR rank = $5)
   AND ended_at - began_at >= $6::interval
 ORDER BY rank DESC, began_at DESC, trace_id DESC
 LIMIT $1

-- name: spans
SELECT span_id, parent_id, part_id, service, kind, name, began_ns, took_ns, outcome, code,
       fingerprint, cut
  FROM traces.spans
 WHERE trace_id = $1
 ORDER BY began_ns, span_id
 LIMIT $2

-- name: tenants
SELECT id, name FROM identity.tenants ORDER BY id

-- name: forget
DELETE FROM traces.traces
 WHERE began_at < $1
    OR trace_id IN (SELECT trace_id FROM traces.traces ORDER BY began_at DESC OFFSET $2)
