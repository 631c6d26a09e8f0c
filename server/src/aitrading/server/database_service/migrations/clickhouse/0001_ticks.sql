CREATE DATABASE IF NOT EXISTS market ENGINE = Atomic;

-- Ticks in the order they are asked for. Prices are points of the stream's digits; the ask is
-- kept as its distance from the bid, which compresses to half. Times are UTC. Nothing is merged
-- away here: a tick gets in once (see ticks/writer.py), so no engine that drops rows is needed.
CREATE TABLE IF NOT EXISTS market.ticks (
    tenant      UUID   CODEC(ZSTD(1)),
    stream      UUID   CODEC(ZSTD(1)),
    event_ms    Int64  CODEC(Delta(8), T64, ZSTD(3)),
    sequence    UInt64 CODEC(DoubleDelta, ZSTD(1)),
    bid         Int32  CODEC(Delta(4), ZSTD(3)),
    spread      Int32  CODEC(T64('bit'), ZSTD(3)),
    last        Int32  CODEC(Delta(4), ZSTD(3)),
    flags       UInt16 CODEC(ZSTD(1)),
    received_on Date   CODEC(ZSTD(1)),
    ask         Int32  ALIAS toInt32(bid + spread),
    INDEX by_sequence sequence TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(received_on)
ORDER BY (tenant, stream, event_ms, sequence)
SETTINGS
    non_replicated_deduplication_window = 10000,
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    min_rows_to_fsync_after_merge = 1,
    min_compressed_bytes_to_fsync_after_merge = 1;

-- What is the same for all ticks of a batch: when the bridge received it, the broker's offset from
-- UTC, and the trace that leads back to it. Writing a batch again replaces it by the same.
CREATE TABLE IF NOT EXISTS market.tick_batches (
    tenant          UUID            CODEC(ZSTD(1)),
    stream          UUID            CODEC(ZSTD(1)),
    first_sequence  UInt64          CODEC(Delta(8), ZSTD(1)),
    row_count       UInt32          CODEC(T64, ZSTD(1)),
    receive_ns      Int64           CODEC(Delta(8), ZSTD(1)),
    broker_offset_s Int32           CODEC(ZSTD(1)),
    trace_id        FixedString(16) CODEC(ZSTD(1)),
    span_id         FixedString(8)  CODEC(NONE)
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(toDateTime(intDiv(receive_ns, 1000000000), 'UTC'))
ORDER BY (tenant, stream, first_sequence)
TTL toDateTime(intDiv(receive_ns, 1000000000), 'UTC') + INTERVAL 90 DAY
SETTINGS
    non_replicated_deduplication_window = 10000,
    fsync_after_insert = 1,
    fsync_part_directory = 1;
