-- name: from_ticks
INSERT INTO market.bars AS kept
       (stream_id, seconds, begins_s, open, high, low, close, ticks,
        spread_min, spread_max, spread_sum, spread_ticks, version)
SELECT stream_id, seconds, event_ms / (seconds * 1000) * seconds AS begin,
       (array_agg(bid ORDER BY event_ms, sequence))[1], max(bid), min(bid),
       (array_agg(bid ORDER BY event_ms DESC, sequence DESC))[1], count(*),
       coalesce(min(spread) FILTER (WHERE bid + spread > 0), 0),
       coalesce(max(spread) FILTER (WHERE bid + spread > 0), 0),
       coalesce(sum(spread) FILTER (WHERE bid + spread > 0), 0),
       count(*) FILTER (WHERE bid + spread > 0), $5
  FROM market.ticks CROSS JOIN unnest($4::integer[]) AS seconds
 WHERE stream_id = ANY ($1) AND bid > 0 AND doubt = 0 AND event_ms >= $2::bigint * 1000
   AND event_ms < $3::bigint * 1000
 GROUP BY stream_id, seconds, begin
    ON CONFLICT (tenant_id, stream_id, seconds, begins_s)
    DO UPDATE SET open = excluded.open, high = excluded.high, low = excluded.low,
                  close = excluded.close, ticks = excluded.ticks,
                  spread_min = excluded.spread_min, spread_max = excluded.spread_max,
                  spread_sum = excluded.spread_sum, spread_ticks = excluded.spread_ticks,
                  version = excluded.version
     WHERE kept.version <= excluded.version

-- name: from_bars
INSERT INTO market.bars AS kept
       (stream_id, seconds, begins_s, open, high, low, close, ticks,
        spread_min, spread_max, spread_sum, spread_ticks, version)
SELECT stream_id, longer, begins_s / longer * longer AS begin,
       (array_agg(open ORDER BY begins_s))[1], max(high), min(low),
       (array_agg(close ORDER BY begins_s DESC))[1], sum(ticks),
       coalesce(min(spread_min) FILTER (WHERE spread_ticks > 0), 0),
       coalesce(max(spread_max) FILTER (WHERE spread_ticks > 0), 0),
       sum(spread_sum), sum(spread_ticks), $6
  FROM market.bars CROSS JOIN unnest($5::integer[]) AS longer
 WHERE stream_id = ANY ($1) AND seconds = $4 AND begins_s >= $2 AND begins_s < $3
 GROUP BY stream_id, longer, begin
    ON CONFLICT (tenant_id, stream_id, seconds, begins_s)
    DO UPDATE SET open = excluded.open, high = excluded.high, low = excluded.low,
                  close = excluded.close, ticks = excluded.ticks,
                  spread_min = excluded.spread_min, spread_max = excluded.spread_max,
                  spread_sum = excluded.spread_sum, spread_ticks = excluded.spread_ticks,
                  version = excluded.version
     WHERE kept.version <= excluded.version

-- name: page
SELECT stream_id, begin AS begins_s, open, high, low, close, ticks,
       spread_min, spread_max, spread_sum, spread_ticks
  FROM (
    SELECT stream_id, begins_s AS begin, open, high, low, close, ticks,
           spread_min, spread_max, spread_sum, spread_ticks
      FROM market.bars
     WHERE stream_id = ANY ($1) AND seconds = $2 AND begins_s >= $3 AND begins_s < $4
       AND NOT $5::text::int8multirange @> begins_s
    UNION ALL
    SELECT stream_id, event_ms / ($2 * 1000) * $2,
           (array_agg(bid ORDER BY event_ms, sequence))[1], max(bid), min(bid),
           (array_agg(bid ORDER BY event_ms DESC, sequence DESC))[1], count(*),
           coalesce(min(spread) FILTER (WHERE bid + spread > 0), 0),
           coalesce(max(spread) FILTER (WHERE bid + spread > 0), 0),
           coalesce(sum(spread) FILTER (WHERE bid + spread > 0), 0),
           count(*) FILTER (WHERE bid + spread > 0)
      FROM market.ticks
     WHERE stream_id = ANY ($1) AND bid > 0 AND doubt = 0
       AND event_ms >= lower($5::text::int8multirange) * 1000
       AND event_ms < upper($5::text::int8multirange) * 1000
       AND $5::text::int8multirange @> (event_ms / 1000)
     GROUP BY stream_id, 2) AS bar
 ORDER BY begin, stream_id FETCH FIRST $6 ROWS WITH TIES
