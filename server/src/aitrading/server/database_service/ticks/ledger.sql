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
