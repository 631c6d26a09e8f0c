-- Where ticks and bars of this installation lie; the first start with ticks decides.
CREATE TABLE app.time_series_place (
    one   boolean PRIMARY KEY DEFAULT true CHECK (one),
    place text    NOT NULL CHECK (place IN ('clickhouse', 'postgres'))
);
GRANT SELECT, INSERT ON app.time_series_place TO "database";
INSERT INTO app.time_series_place (place)
SELECT 'clickhouse' WHERE EXISTS (SELECT FROM market.ingested_segments);

-- Ticks of an installation without ClickHouse, in the same shape: points of the stream's digits, the
-- ask as its distance from the bid, times in UTC. Empty where there is a ClickHouse.
CREATE TABLE market.ticks (
    tenant_id uuid    NOT NULL,
    stream_id uuid    NOT NULL,
    sequence  bigint  NOT NULL,
    event_ms  bigint  NOT NULL,
    bid       integer NOT NULL,
    spread    integer NOT NULL,
    last      integer NOT NULL,
    flags     integer NOT NULL,
    PRIMARY KEY (tenant_id, stream_id, sequence),
    FOREIGN KEY (tenant_id, stream_id) REFERENCES market.streams (tenant_id, id)
);
SELECT app.guard_tenant_table('market.ticks');
CREATE INDEX ticks_by_time ON market.ticks (tenant_id, stream_id, event_ms, sequence);
GRANT SELECT, INSERT ON market.ticks TO "database";

-- What is the same for all ticks of a batch, as in ClickHouse.
CREATE TABLE market.tick_batches (
    tenant_id       uuid    NOT NULL,
    stream_id       uuid    NOT NULL,
    first_sequence  bigint  NOT NULL,
    row_count       integer NOT NULL,
    receive_ns      bigint  NOT NULL,
    broker_offset_s integer NOT NULL,
    trace_id        bytea   NOT NULL,
    span_id         bytea   NOT NULL,
    PRIMARY KEY (tenant_id, stream_id, first_sequence)
);
SELECT app.guard_tenant_table('market.tick_batches');
GRANT SELECT, INSERT, UPDATE ON market.tick_batches TO "database";

-- Bars of every period, made from ticks; a bar that is made again replaces the one before.
CREATE TABLE market.bars (
    tenant_id    uuid    NOT NULL,
    stream_id    uuid    NOT NULL,
    seconds      integer NOT NULL,
    begins_s     bigint  NOT NULL,
    open         integer NOT NULL,
    high         integer NOT NULL,
    low          integer NOT NULL,
    close        integer NOT NULL,
    ticks        integer NOT NULL,
    spread_min   integer NOT NULL,
    spread_max   integer NOT NULL,
    spread_sum   bigint  NOT NULL,
    spread_ticks integer NOT NULL,
    version      bigint  NOT NULL,
    PRIMARY KEY (tenant_id, stream_id, seconds, begins_s)
);
SELECT app.guard_tenant_table('market.bars');
GRANT SELECT, INSERT, UPDATE ON market.bars TO "database";
