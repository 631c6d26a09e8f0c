-- The history of everybody's metrics (see metrics_history/port.py). `series` is the number of a row
-- of app.metric_series in PostgreSQL; `amount` is growth, or the level of a gauge; `reached` is
-- what a counter counted since its process began. No tenant's things are here, so there is no wall.
-- Nothing is fsynced: a point is no evidence, and the next one comes soon.
CREATE TABLE IF NOT EXISTS market.metric_points (
    series  Int64   CODEC(ZSTD(1)),
    part    Int16   CODEC(ZSTD(1)),
    at_s    Int64   CODEC(DoubleDelta, ZSTD(1)),
    amount  Float64 CODEC(Gorilla, ZSTD(1)),
    reached Float64 CODEC(Gorilla, ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toDate(toDateTime(at_s, 'UTC'), 'UTC')
ORDER BY (series, part, at_s)
TTL toDateTime(at_s, 'UTC') + INTERVAL 48 HOUR
SETTINGS ttl_only_drop_parts = 1;

-- Steps of five minutes, made from every block of points as it comes.
CREATE TABLE IF NOT EXISTS market.metric_points_5m (
    series    Int64 CODEC(ZSTD(1)),
    part      Int16 CODEC(ZSTD(1)),
    begins_s  Int64 CODEC(DoubleDelta, ZSTD(1)),
    samples   SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    total     SimpleAggregateFunction(sum, Float64) CODEC(Gorilla, ZSTD(1)),
    low       SimpleAggregateFunction(min, Float64) CODEC(Gorilla, ZSTD(1)),
    high      SimpleAggregateFunction(max, Float64) CODEC(Gorilla, ZSTD(1)),
    last      AggregateFunction(argMax, Float64, Int64) CODEC(ZSTD(1)),
    last_at_s SimpleAggregateFunction(max, Int64) CODEC(DoubleDelta, ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toMonday(toDateTime(begins_s, 'UTC'), 'UTC')
ORDER BY (series, part, begins_s)
TTL toDateTime(begins_s, 'UTC') + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS market.metric_points_into_5m TO market.metric_points_5m AS
SELECT series, part, intDiv(at_s, 300) * 300 AS begins_s, count() AS samples, sum(amount) AS total,
       min(amount) AS low, max(amount) AS high, argMaxState(reached, at_s) AS last,
       max(at_s) AS last_at_s
  FROM market.metric_points
 GROUP BY series, part, begins_s;

-- Steps of an hour, in the same way.
CREATE TABLE IF NOT EXISTS market.metric_points_1h (
    series    Int64 CODEC(ZSTD(1)),
    part      Int16 CODEC(ZSTD(1)),
    begins_s  Int64 CODEC(DoubleDelta, ZSTD(1)),
    samples   SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    total     SimpleAggregateFunction(sum, Float64) CODEC(Gorilla, ZSTD(1)),
    low       SimpleAggregateFunction(min, Float64) CODEC(Gorilla, ZSTD(1)),
    high      SimpleAggregateFunction(max, Float64) CODEC(Gorilla, ZSTD(1)),
    last      AggregateFunction(argMax, Float64, Int64) CODEC(ZSTD(1)),
    last_at_s SimpleAggregateFunction(max, Int64) CODEC(DoubleDelta, ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(toDateTime(begins_s, 'UTC'), 'UTC')
ORDER BY (series, part, begins_s)
TTL toDateTime(begins_s, 'UTC') + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS market.metric_points_into_1h TO market.metric_points_1h AS
SELECT series, part, intDiv(at_s, 3600) * 3600 AS begins_s, count() AS samples,
       sum(amount) AS total, min(amount) AS low, max(amount) AS high,
       argMaxState(reached, at_s) AS last, max(at_s) AS last_at_s
  FROM market.metric_points
 GROUP BY series, part, begins_s;

-- What the database service alone had kept of its own, summed over labels, is given up for it.
DROP TABLE IF EXISTS market.metric_samples;
