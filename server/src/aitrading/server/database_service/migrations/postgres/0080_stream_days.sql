-- What devices counted themselves: ticks of a stream on a day (UTC) among sequences up to
-- last_sequence, and a digest of them. A certificate holds this against what is stored.
CREATE TABLE market.stream_days (
    tenant_id     uuid        NOT NULL,
    stream_id     uuid        NOT NULL,
    day           date        NOT NULL,
    ticks         bigint      NOT NULL CHECK (ticks >= 0),
    digest        text        NOT NULL CHECK (digest ~ '^[0-9a-f]{32}$'),
    last_sequence bigint      NOT NULL CHECK (last_sequence >= 0),
    counted_from  bigint      NOT NULL CHECK (counted_from >= 1),
    is_over       boolean     NOT NULL,
    told_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, stream_id, day),
    FOREIGN KEY (tenant_id, stream_id) REFERENCES market.streams (tenant_id, id)
);
SELECT app.guard_tenant_table('market.stream_days');
GRANT SELECT, INSERT, UPDATE ON market.stream_days TO "database";
