-- The log of known blocks is written before a part is in place: after a kill between the two, the
-- next copy of the block is dropped although nothing is stored. The ledger in PostgreSQL decides.
ALTER TABLE market.ticks MODIFY SETTING non_replicated_deduplication_window = 0;

ALTER TABLE market.tick_batches MODIFY SETTING non_replicated_deduplication_window = 0;
