-- Bars of every period, made from ticks (see bars/keeper.py). A bar that is made again replaces the
-- one before by its version. They can always be made again from the ticks; they are fsynced all the
-- same, because the note that says they are missing is deleted for good.
CREATE TABLE IF NOT EXISTS market.bars (
    tenant       UUID   CODEC(ZSTD(1)),
    stream       UUID   CODEC(ZSTD(1)),
    seconds      UInt32 CODEC(ZSTD(1)),
    begins_s     Int64  CODEC(DoubleDelta, ZSTD(1)),
    open         Int32  CODEC(Delta(4), ZSTD(1)),
    high         Int32  CODEC(Delta(4), ZSTD(1)),
    low          Int32  CODEC(Delta(4), ZSTD(1)),
    close        Int32  CODEC(Delta(4), ZSTD(1)),
    ticks        UInt32 CODEC(T64, ZSTD(1)),
    spread_min   Int32  CODEC(T64, ZSTD(1)),
    spread_max   Int32  CODEC(T64, ZSTD(1)),
    spread_sum   Int64  CODEC(T64, ZSTD(1)),
    spread_ticks UInt32 CODEC(T64, ZSTD(1)),
    version      UInt64 CODEC(Delta(8), ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYear(toDateTime(begins_s, 'UTC'))
ORDER BY (tenant, stream, seconds, begins_s)
SETTINGS
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    min_rows_to_fsync_after_merge = 1,
    min_compressed_bytes_to_fsync_after_merge = 1;
