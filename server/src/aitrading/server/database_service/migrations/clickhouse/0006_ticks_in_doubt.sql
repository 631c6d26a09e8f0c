-- Why the bridge does not believe a tick, as bits of `core/domain/tick_doubts.py`; 0 when it does.
ALTER TABLE market.ticks ADD COLUMN IF NOT EXISTS doubt UInt8 CODEC(ZSTD(1)) AFTER flags;

-- A quarantine is found without reading the days that have none.
ALTER TABLE market.ticks ADD INDEX IF NOT EXISTS by_doubt doubt TYPE minmax GRANULARITY 1;
