-- name: write
INSERT INTO market.metric_samples (service, name, at_ms, value)
SELECT {service:String}, pair.1, {at_ms:Int64}, pair.2 / 1000
  FROM (SELECT arrayJoin(arrayZip(splitByChar(',', {names:String}), {thousandths:Array(Int64)})) AS pair)

-- name: read
SELECT at_ms, value
  FROM market.metric_samples
 WHERE name = {name:String} AND service = {service:String}
   AND at_ms >= {from_ms:Int64} AND at_ms < {to_ms:Int64}
 ORDER BY at_ms
 LIMIT {limit:UInt32}
