-- Stretches of time in which ticks were stored and bars were not made yet, written in the
-- transaction that records the ticks. Times are seconds since 1970, both ends inside.
CREATE TABLE market.bar_dirt (
    tenant_id uuid   NOT NULL,
    id        bigint GENERATED ALWAYS AS IDENTITY,
    stream_id uuid   NOT NULL,
    from_s    bigint NOT NULL,
    until_s   bigint NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, stream_id) REFERENCES market.streams (tenant_id, id),
    CHECK (from_s <= until_s)
);
SELECT app.guard_tenant_table('market.bar_dirt');
GRANT SELECT, INSERT, DELETE ON market.bar_dirt TO "database";
