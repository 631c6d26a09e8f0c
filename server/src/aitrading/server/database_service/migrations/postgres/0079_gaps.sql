-- Ticks that are known to be missing: sequences of a stream, or a stretch of time in which nothing
-- came although the market was open. A gap is never deleted; a repair says by which sequences it
-- came, and counts once those are stored. The id is made of what is missing.
CREATE TABLE market.gaps (
    tenant_id      uuid        NOT NULL,
    id             uuid        NOT NULL,
    stream_id      uuid        NOT NULL,
    first_sequence bigint,
    last_sequence  bigint,
    from_ms        bigint,
    until_ms       bigint,
    reason         text        NOT NULL CHECK (length(reason) BETWEEN 1 AND 200),
    recorded_by    text        NOT NULL CHECK (recorded_by IN ('device', 'bridge', 'database')),
    noticed_at     timestamptz NOT NULL,
    recorded_at    timestamptz NOT NULL DEFAULT now(),
    answered_at    timestamptz,
    problem        text        NOT NULL DEFAULT '' CHECK (length(problem) <= 512),
    repair_stream  uuid,
    repair_first   bigint,
    repair_last    bigint,
    repaired_at    timestamptz,
    repaired_ticks bigint,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, stream_id) REFERENCES market.streams (tenant_id, id),
    FOREIGN KEY (tenant_id, repair_stream) REFERENCES market.streams (tenant_id, id),
    CHECK ((first_sequence IS NULL) = (last_sequence IS NULL)),
    CHECK (first_sequence <= last_sequence),
    CHECK (first_sequence IS NOT NULL OR from_ms IS NOT NULL),
    CHECK (repair_first <= repair_last)
);
SELECT app.guard_tenant_table('market.gaps');
CREATE INDEX gaps_open ON market.gaps (tenant_id, stream_id) WHERE repaired_at IS NULL;
CREATE INDEX gaps_by_time ON market.gaps (tenant_id, recorded_at, id);
GRANT SELECT, INSERT, UPDATE ON market.gaps TO "database";
