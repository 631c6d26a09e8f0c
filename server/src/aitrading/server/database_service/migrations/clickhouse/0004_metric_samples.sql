-- The platform's own metrics at an interval (see metrics_history/sampler.py). No tenant's things are
-- here, so there is no wall. Nothing is fsynced: a sample is no evidence, and the next one comes soon.
CREATE TABLE IF NOT EXISTS market.metric_samples (
    service LowCardinality(String),
    name    LowCardinality(String),
    at_ms   Int64   CODEC(DoubleDelta, ZSTD(1)),
    value   Float64 CODEC(Gorilla, ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toMonday(toDateTime(intDiv(at_ms, 1000), 'UTC'))
ORDER BY (name, service, at_ms)
TTL toDateTime(intDiv(at_ms, 1000), 'UTC') + INTERVAL 30 DAY;
