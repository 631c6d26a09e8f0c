-- name: from_ticks
INSERT INTO market.bars
       (tenant, stream, seconds, begins_s, open, high, low, close, ticks,
        spread_min, spread_max, spread_sum, spread_ticks, version)
SELECT tenant, stream, seconds, intDiv(event_ms, seconds * 1000) * seconds AS begin,
       argMin(bid, (event_ms, sequence)), max(bid), min(bid), argMax(bid, (event_ms, sequence)),
       toUInt32(count()),
       minIf(spread, asked), maxIf(spread, asked), sumIf(toInt64(spread), asked),
       toUInt32(countIf(asked)), {version:UInt64}
  FROM (SELECT tenant, stream, event_ms, sequence, bid, spread, bid + spread > 0 AS asked
          FROM market.ticks
         WHERE tenant = {tenant:UUID} AND stream IN {streams:Array(UUID)} AND bid > 0 AND doubt = 0
           AND event_ms >= {from_s:Int64} * 1000 AND event_ms < {to_s:Int64} * 1000)
 ARRAY JOIN {periods:Array(UInt32)} AS seconds
 GROUP BY tenant, stream, seconds, begin

-- name: from_bars
INSERT INTO market.bars
       (tenant, stream, seconds, begins_s, open, high, low, close, ticks,
        spread_min, spread_max, spread_sum, spread_ticks, version)
SELECT tenant, stream, longer, intDiv(begins_s, longer) * longer AS begin,
       argMin(open, begins_s), max(high), min(low), argMax(close, begins_s),
       toUInt32(sum(ticks)),
       minIf(spread_min, spread_ticks > 0), maxIf(spread_max, spread_ticks > 0),
       sum(spread_sum), toUInt32(sum(spread_ticks)), {version:UInt64}
  FROM (SELECT * FROM market.bars FINAL
         WHERE tenant = {tenant:UUID} AND stream IN {streams:Array(UUID)}
           AND seconds = {finer:UInt32}
           AND begins_s >= {from_s:Int64} AND begins_s < {to_s:Int64})
 ARRAY JOIN {periods:Array(UInt32)} AS longer
 GROUP BY tenant, stream, longer, begin

-- name: page
SELECT stream, begin, open, high, low, close, ticks,
       spread_min, spread_max, spread_sum, spread_ticks
  FROM (
    SELECT stream, begins_s AS begin, open, high, low, close, ticks,
           spread_min, spread_max, spread_sum, spread_ticks
      FROM market.bars FINAL
     WHERE tenant = {tenant:UUID} AND stream IN {streams:Array(UUID)}
       AND seconds = {seconds:UInt32}
       AND begins_s >= {from_s:Int64} AND begins_s < {to_s:Int64}
       AND NOT arrayExists((a, b) -> begins_s >= a AND begins_s < b,
                           {lows:Array(Int64)}, {highs:Array(Int64)})
     ORDER BY begin LIMIT {limit:UInt32} WITH TIES
    UNION ALL
    SELECT stream, intDiv(event_ms, {seconds:UInt32} * 1000) * {seconds:UInt32} AS begin,
           argMin(bid, (event_ms, sequence)), max(bid), min(bid),
           argMax(bid, (event_ms, sequence)), toUInt32(count()),
           minIf(spread, asked), maxIf(spread, asked), sumIf(toInt64(spread), asked),
           toUInt32(countIf(asked))
      FROM (SELECT stream, event_ms, sequence, bid, spread, bid + spread > 0 AS asked
              FROM market.ticks
             WHERE tenant = {tenant:UUID} AND stream IN {streams:Array(UUID)} AND bid > 0 AND doubt = 0
               AND event_ms >= {dirty_from_s:Int64} * 1000
               AND event_ms < {dirty_to_s:Int64} * 1000
               AND arrayExists((a, b) -> event_ms >= a * 1000 AND event_ms < b * 1000,
                               {lows:Array(Int64)}, {highs:Array(Int64)}))
     GROUP BY stream, begin)
 ORDER BY begin, stream LIMIT {limit:UInt32} WITH TIES
