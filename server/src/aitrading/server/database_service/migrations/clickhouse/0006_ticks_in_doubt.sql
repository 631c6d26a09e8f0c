-- Why the bridge does not believe a tick, as bits of `core/domain/tick_doubts.py`; 0 when it does.
ALTER TABLE market.ticks ADD COLUMN IF NOT EXISTS doubt UInt8 CODEC(ZSTD(1)) AFTER flags;

-- Parts from now on are passed over where nothing is in doubt; which streams have a quarantine at all,
-- PostgreSQL knows.
ALTER TABLE market.ticks ADD INDEX IF NOT EXISTS by_doubt doubt TYPE minmax GRANULARITY 1;
