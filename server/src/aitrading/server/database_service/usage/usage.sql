-- name: of_days
-- A device's count is its word: one beyond a day's bound, from before there was one, counts as that.
SELECT d.day, coalesce(sum(least(d.ticks, 1000000000)), 0)::bigint AS ticks,
       count(DISTINCT (s.device_id, s.broker, s.symbol)) AS streams,
       count(DISTINCT (s.broker, s.symbol)) AS symbols, count(DISTINCT s.device_id) AS devices,
       coalesce(bool_and(d.is_over), false)
         AND CASE WHEN GROUPING(d.day) = 0 THEN d.day ELSE $2 END < $3 AS is_final
  FROM market.stream_days d
  JOIN market.streams s ON s.tenant_id = d.tenant_id AND s.id = d.stream_id
 WHERE d.day BETWEEN $1 AND $2 AND d.ticks > 0
 GROUP BY GROUPING SETS ((d.day), ()) ORDER BY d.day NULLS LAST

-- name: stored
SELECT least(coalesce(sum(upper(r) - lower(r)), 0), 9223372036854775807)::bigint
  FROM market.tick_marks m CROSS JOIN LATERAL unnest(m.stored) AS r
