-- name: take_days
INSERT INTO market.stream_days AS d
       (stream_id, day, ticks, digest, last_sequence, counted_from, is_over)
SELECT t.stream_id, date '1970-01-01' + t.day, t.ticks, t.digest, t.last_sequence, t.counted_from,
       t.is_over
  FROM unnest($2::uuid[], $3::int[], $4::bigint[], $5::text[], $6::bigint[], $7::bigint[],
              $8::bool[])
       AS t (stream_id, day, ticks, digest, last_sequence, counted_from, is_over)
  JOIN market.streams s ON s.id = t.stream_id AND s.device_id = $1
ON CONFLICT (tenant_id, stream_id, day) DO UPDATE
   SET ticks = excluded.ticks, digest = excluded.digest, is_over = excluded.is_over,
       last_sequence = excluded.last_sequence, counted_from = excluded.counted_from,
       told_at = now()
 WHERE excluded.last_sequence >= d.last_sequence

-- name: take_gaps
INSERT INTO market.gaps AS g
       (id, stream_id, first_sequence, last_sequence, from_ms, until_ms, reason, recorded_by,
        noticed_at, repair_stream, repair_first, repair_last)
SELECT t.id, t.stream_id, t.first_sequence, t.last_sequence, t.from_ms, t.until_ms, t.reason,
       t.recorded_by, to_timestamp(t.noticed_s), CASE WHEN t.repair_last IS NOT NULL THEN s.id END,
       t.repair_first, t.repair_last
  FROM unnest($2::uuid[], $3::uuid[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
              $8::text[], $9::text[], $10::float8[], $11::bigint[], $12::bigint[])
       AS t (id, stream_id, first_sequence, last_sequence, from_ms, until_ms, reason, recorded_by,
             noticed_s, repair_first, repair_last)
  JOIN market.streams s ON s.id = t.stream_id AND s.device_id = $1
ON CONFLICT (tenant_id, id) DO UPDATE
   SET until_ms = coalesce(g.until_ms, excluded.until_ms),
       repair_stream = coalesce(g.repair_stream, excluded.repair_stream),
       repair_first = coalesce(g.repair_first, excluded.repair_first),
       repair_last = coalesce(g.repair_last, excluded.repair_last),
       reason = CASE WHEN g.recorded_by = 'database' THEN excluded.reason ELSE g.reason END,
       recorded_by = CASE WHEN g.recorded_by = 'database' THEN excluded.recorded_by
                          ELSE g.recorded_by END

-- name: take_repairs
UPDATE market.gaps g
   SET answered_at = now(), problem = t.problem,
       repair_stream = CASE WHEN t.is_some THEN r.id END,
       repair_first = CASE WHEN t.is_some THEN t.first_sequence END,
       repair_last = CASE WHEN t.is_some THEN t.last_sequence END,
       repaired_at = CASE WHEN t.problem = '' AND t.last_sequence < t.first_sequence THEN now() END,
       repaired_ticks = CASE WHEN t.problem = '' AND t.last_sequence < t.first_sequence THEN 0 END
  FROM (SELECT *, problem = '' AND last_sequence >= first_sequence AS is_some
          FROM unnest($2::uuid[], $3::uuid[], $4::bigint[], $5::bigint[], $6::text[])
               AS told (gap, stream_id, first_sequence, last_sequence, problem)) AS t
  JOIN market.streams r ON r.id = t.stream_id AND r.device_id = $1
 WHERE g.id = t.gap AND g.repaired_at IS NULL AND g.repair_last IS NULL
   AND EXISTS (SELECT FROM market.streams s WHERE s.id = g.stream_id AND s.device_id = $1)

-- name: open_gaps
SELECT count(*) FROM market.gaps WHERE repaired_at IS NULL

-- name: to_repair
SELECT g.id, g.stream_id, g.first_sequence, g.last_sequence, g.from_ms, g.until_ms, s.symbol,
       s.broker
  FROM market.gaps g JOIN market.streams s ON s.id = g.stream_id
 WHERE s.device_id = $1 AND g.repaired_at IS NULL AND g.repair_last IS NULL
   AND (g.first_sequence IS NOT NULL OR g.until_ms IS NOT NULL)
   AND (g.answered_at IS NULL
        OR g.answered_at NOT BETWEEN now() - interval '1 hour' AND now()
        OR (g.problem = ANY ($3) AND g.recorded_at BETWEEN now() - interval '1 hour' AND now()))
 ORDER BY g.answered_at NULLS FIRST, g.recorded_at, g.id LIMIT $2

-- name: cannot_order
UPDATE market.gaps g SET answered_at = now(), problem = t.problem
  FROM unnest($1::uuid[], $2::text[]) AS t (gap, problem)
 WHERE g.id = t.gap AND g.repaired_at IS NULL AND g.repair_last IS NULL

-- name: streams_alike
SELECT o.id FROM market.streams s
  JOIN market.streams o ON o.device_id = s.device_id AND o.symbol = s.symbol AND o.broker = s.broker
 WHERE s.id = $1

-- name: near
SELECT g.stream_id, g.first_sequence, g.last_sequence, g.from_ms, g.until_ms, g.recorded_by
  FROM market.gaps g
 WHERE g.stream_id = ANY ($1) AND g.id <> $2 AND g.repaired_at IS NULL
   AND (g.first_sequence IS NOT NULL OR g.repair_last IS NOT NULL)
 ORDER BY g.recorded_at DESC, g.id LIMIT $3

-- name: gaps
SELECT g.*, s.symbol, s.device_id
  FROM market.gaps g JOIN market.streams s ON s.id = g.stream_id
 WHERE ($1::text IS NULL OR s.symbol = $1)
   AND (NOT $2::bool OR g.repaired_at IS NULL)
   AND ($3::timestamptz IS NULL OR (g.recorded_at, g.id) < ($3, $4::uuid))
 ORDER BY g.recorded_at DESC, g.id DESC LIMIT $5

-- name: gaps_of_streams
SELECT g.id, g.stream_id, g.first_sequence, g.last_sequence, g.from_ms, g.until_ms, g.reason,
       g.repaired_at, g.repair_stream, g.repair_first, g.repair_last
  FROM market.gaps g WHERE g.stream_id = ANY ($1)

-- name: day_streams
SELECT s.id, s.device_id, s.broker, s.epoch, s.digits, d.ticks, d.digest, d.last_sequence,
       d.counted_from, d.is_over, d.told_at, coalesce(m.stored, '{}')::text AS stored
  FROM market.streams s
  LEFT JOIN market.stream_days d ON d.stream_id = s.id AND d.day = $2
  LEFT JOIN market.tick_marks m ON m.stream_id = s.id
 WHERE s.symbol = $1 AND ($3::uuid IS NULL OR s.device_id = $3)
 ORDER BY s.device_id, s.epoch, s.id
