-- name: insert_ticks
INSERT INTO market.ticks (stream_id, sequence, event_ms, bid, spread, last, flags, doubt)
SELECT $1, t.* FROM unnest($2::bigint[], $3::bigint[], $4::integer[], $5::integer[], $6::integer[],
                           $7::integer[], $8::smallint[]) AS t
ON CONFLICT DO NOTHING

-- name: insert_batch
INSERT INTO market.tick_batches (stream_id, first_sequence, row_count, receive_ns, broker_offset_s,
                                 trace_id, span_id)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (tenant_id, stream_id, first_sequence)
DO UPDATE SET row_count = excluded.row_count, receive_ns = excluded.receive_ns,
              broker_offset_s = excluded.broker_offset_s, trace_id = excluded.trace_id,
              span_id = excluded.span_id

-- name: orphans
SELECT sequence FROM market.ticks
 WHERE stream_id = $1 AND NOT $2::text::int8multirange @> sequence
 ORDER BY sequence

-- name: page_believed
SELECT event_ms, stream_id, sequence, bid, spread, last, flags, doubt
  FROM market.ticks
 WHERE stream_id = ANY ($1) AND event_ms >= $2 AND event_ms < $3
   AND (event_ms, stream_id, sequence) > ($4, $5, $6) AND doubt = 0
 ORDER BY event_ms, stream_id, sequence LIMIT $7

-- name: page_quarantined
SELECT event_ms, stream_id, sequence, bid, spread, last, flags, doubt
  FROM market.ticks
 WHERE stream_id = ANY ($1) AND event_ms >= $2 AND event_ms < $3
   AND (event_ms, stream_id, sequence) > ($4, $5, $6) AND doubt > 0
 ORDER BY event_ms, stream_id, sequence LIMIT $7

-- name: page_all
SELECT event_ms, stream_id, sequence, bid, spread, last, flags, doubt
  FROM market.ticks
 WHERE stream_id = ANY ($1) AND event_ms >= $2 AND event_ms < $3
   AND (event_ms, stream_id, sequence) > ($4, $5, $6)
 ORDER BY event_ms, stream_id, sequence LIMIT $7

-- name: rows_at
SELECT t.event_ms, t.stream_id, t.sequence, t.bid, t.spread, t.last, t.flags, t.doubt
  FROM unnest($1::uuid[], $2::bigint[]) AS wanted (stream_id, sequence)
  JOIN market.ticks t ON t.stream_id = wanted.stream_id AND t.sequence = wanted.sequence

-- name: newest
SELECT t.event_ms, t.stream_id, t.sequence, t.bid, t.spread, t.last, t.flags, t.doubt
  FROM unnest($1::uuid[], $2::bigint[]) AS wanted (stream_id, sequence)
 CROSS JOIN LATERAL (
       SELECT * FROM market.ticks
        WHERE stream_id = wanted.stream_id AND sequence <= wanted.sequence
          AND sequence > wanted.sequence - $3 AND doubt = 0
        ORDER BY sequence DESC LIMIT 1) AS t
