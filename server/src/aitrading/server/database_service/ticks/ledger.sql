-- name: take_turn
SELECT pg_advisory_xact_lock($1)

-- name: known_segment
SELECT checksum, row_count FROM market.ingested_segments WHERE spool_id = $1 AND segment_id = $2

-- name: record_segment
INSERT INTO market.ingested_segments (spool_id, segment_id, checksum, row_count)
VALUES ($1, $2, $3, $4)

-- name: forget_segments
DELETE FROM market.ingested_segments WHERE stored_at < now() - make_interval(days => $1)

-- name: streams
SELECT s.id, s.symbol, s.digits, coalesce(m.stored, '{}')::text AS stored
  FROM market.streams s
  LEFT JOIN market.tick_marks m ON m.tenant_id = s.tenant_id AND m.stream_id = s.id
 WHERE s.id = ANY ($1)

-- name: streams_of_device
SELECT s.id, s.symbol, s.digits, coalesce(m.stored, '{}')::text AS stored
  FROM market.streams s
  LEFT JOIN market.tick_marks m ON m.tenant_id = s.tenant_id AND m.stream_id = s.id
 WHERE s.device_id = $1
 ORDER BY s.symbol, s.epoch, s.id

-- name: streams_of_symbol
SELECT s.id, s.symbol, s.digits, coalesce(m.stored, '{}')::text AS stored
  FROM market.streams s
  JOIN market.tick_marks m ON m.tenant_id = s.tenant_id AND m.stream_id = s.id
 WHERE s.symbol = $1
 ORDER BY s.id

-- name: streams_newest
SELECT DISTINCT ON (s.symbol) s.id, s.symbol, s.digits, m.stored::text AS stored
  FROM market.streams s
  JOIN market.tick_marks m ON m.tenant_id = s.tenant_id AND m.stream_id = s.id
 ORDER BY s.symbol, m.updated_at DESC, s.id

-- name: open_stream
INSERT INTO market.streams (id, device_id, broker, symbol, epoch, digits)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING

-- name: write_marks
INSERT INTO market.tick_marks AS m (stream_id, stored)
SELECT stream_id, stored::int8multirange
  FROM unnest($1::uuid[], $2::text[]) AS t (stream_id, stored)
ON CONFLICT (tenant_id, stream_id)
DO UPDATE SET stored = excluded.stored, updated_at = now()

-- name: note_bars
INSERT INTO market.bar_dirt (stream_id, from_s, until_s)
SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[])

-- name: note_doubted
INSERT INTO market.quarantined_days AS q (stream_id, day, reason, ticks)
SELECT t.stream_id, date '1970-01-01' + t.day, t.reason, t.ticks
  FROM unnest($1::uuid[], $2::int[], $3::text[], $4::bigint[])
       AS t (stream_id, day, reason, ticks)
ON CONFLICT (tenant_id, stream_id, day, reason)
DO UPDATE SET ticks = q.ticks + excluded.ticks

-- name: note_holes
INSERT INTO market.gaps
       (id, stream_id, first_sequence, last_sequence, reason, recorded_by, noticed_at)
SELECT t.id, t.stream_id, t.first_sequence, t.last_sequence, $5, 'database', now()
  FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[])
       AS t (id, stream_id, first_sequence, last_sequence)
ON CONFLICT (tenant_id, id) DO NOTHING

-- name: settle_gaps
UPDATE market.gaps g
   SET repaired_at = now(), problem = '',
       repaired_ticks = coalesce(g.repair_last - g.repair_first,
                                 g.last_sequence - g.first_sequence) + 1
  FROM market.tick_marks m
 WHERE m.stream_id = ANY ($1) AND m.tenant_id = g.tenant_id AND g.repaired_at IS NULL
   AND CASE WHEN greatest(g.repair_last, g.last_sequence) = 9223372036854775807
            THEN false  -- a device's word that is no range
            WHEN g.repair_last IS NOT NULL AND m.stream_id = g.repair_stream
            THEN m.stored @> int8range(g.repair_first, g.repair_last, '[]')
              OR m.stored + (  -- what was lost of it came under later numbers
                    SELECT coalesce(range_agg(int8range(r.first_sequence, r.last_sequence, '[]')),
                                    '{}'::int8multirange)
                      FROM market.gaps r
                     WHERE r.tenant_id = g.tenant_id AND r.stream_id = g.repair_stream
                       AND r.id <> g.id AND r.repaired_at IS NOT NULL
                       AND r.first_sequence <= g.repair_last
                       AND r.last_sequence BETWEEN g.repair_first AND 9223372036854775806
                 ) @> int8range(g.repair_first, g.repair_last, '[]')
            WHEN g.first_sequence IS NOT NULL AND m.stream_id = g.stream_id
            THEN m.stored @> int8range(g.first_sequence, g.last_sequence, '[]')
            ELSE false END

-- name: doubted_page
SELECT q.day, q.stream_id, s.symbol, s.device_id, sum(q.ticks)::bigint AS ticks,
       array_agg(q.reason ORDER BY q.reason) AS reasons,
       array_agg(q.ticks ORDER BY q.reason) AS numbers
  FROM market.quarantined_days q JOIN market.streams s ON s.id = q.stream_id
 WHERE ($1::text IS NULL OR s.symbol = $1)
   AND ($2::date IS NULL OR (q.day, q.stream_id) < ($2, $3::uuid))
 GROUP BY q.day, q.stream_id, s.symbol, s.device_id
 ORDER BY q.day DESC, q.stream_id DESC LIMIT $4

-- name: doubted_streams
SELECT DISTINCT stream_id FROM market.quarantined_days WHERE stream_id = ANY ($1)
