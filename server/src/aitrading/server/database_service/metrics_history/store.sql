-- name: holds
SELECT count() AS n FROM market.metric_points WHERE series = {series:Int64} AND at_s = {at_s:Int64}

-- name: reached
SELECT series, part, max(last_at_s) AS at_s, argMaxMerge(last) AS value
  FROM market.metric_points_1h
 WHERE begins_s >= {since_s:Int64} - 3600
 GROUP BY series, part
HAVING at_s >= {since_s:Int64}

-- name: steps_of_samples
SELECT series, part, intDiv(at_s, {step_s:Int64}) * {step_s:Int64} AS begins_s,
       toInt64(count()) AS samples, sum(amount) AS total, min(amount) AS low, max(amount) AS high,
       argMax(reached, at_s) AS last
  FROM market.metric_points
 WHERE series IN {series:Array(Int64)} AND at_s >= {from_s:Int64} AND at_s < {to_s:Int64}
 GROUP BY series, part, begins_s
 ORDER BY series, part, begins_s
 LIMIT {limit:UInt32}

-- name: steps_of_five_minutes
SELECT p.series AS series, p.part AS part,
       intDiv(p.begins_s, {step_s:Int64}) * {step_s:Int64} AS begins_s,
       toInt64(sum(p.samples)) AS samples, sum(p.total) AS total, min(p.low) AS low,
       max(p.high) AS high, argMaxMerge(p.last) AS last
  FROM market.metric_points_5m AS p
 WHERE p.series IN {series:Array(Int64)} AND p.begins_s >= {from_s:Int64} AND p.begins_s < {to_s:Int64}
 GROUP BY series, part, begins_s
 ORDER BY series, part, begins_s
 LIMIT {limit:UInt32}

-- name: steps_of_hours
SELECT p.series AS series, p.part AS part,
       intDiv(p.begins_s, {step_s:Int64}) * {step_s:Int64} AS begins_s,
       toInt64(sum(p.samples)) AS samples, sum(p.total) AS total, min(p.low) AS low,
       max(p.high) AS high, argMaxMerge(p.last) AS last
  FROM market.metric_points_1h AS p
 WHERE p.series IN {series:Array(Int64)} AND p.begins_s >= {from_s:Int64} AND p.begins_s < {to_s:Int64}
 GROUP BY series, part, begins_s
 ORDER BY series, part, begins_s
 LIMIT {limit:UInt32}
