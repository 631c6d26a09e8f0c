-- Why the bridge does not believe a tick, as bits of `core/domain/tick_doubts.py`; 0 when it does.
ALTER TABLE market.ticks ADD COLUMN doubt smallint NOT NULL DEFAULT 0;
CREATE INDEX ticks_in_doubt ON market.ticks (tenant_id, stream_id, event_ms, sequence)
 WHERE doubt > 0;

-- How many ticks of a stream went into quarantine on a day of receipt (UTC), written with the ticks.
CREATE TABLE market.quarantined_days (
    tenant_id uuid   NOT NULL,
    stream_id uuid   NOT NULL,
    day       date   NOT NULL,
    reason    text   NOT NULL,
    ticks     bigint NOT NULL CHECK (ticks > 0),
    PRIMARY KEY (tenant_id, stream_id, day, reason),
    FOREIGN KEY (tenant_id, stream_id) REFERENCES market.streams (tenant_id, id)
);
SELECT app.guard_tenant_table('market.quarantined_days');
GRANT SELECT, INSERT, UPDATE ON market.quarantined_days TO "database";
