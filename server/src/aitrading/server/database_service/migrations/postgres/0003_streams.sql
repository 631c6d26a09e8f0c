-- A stream is what one device says about one instrument of one account during one epoch; an epoch
-- fixes the digits of its prices. Its id is derived from its key on both sides of the link.
CREATE TABLE market.streams (
    tenant_id uuid        NOT NULL,
    id        uuid        NOT NULL,
    device_id uuid        NOT NULL,
    broker    text        NOT NULL CHECK (octet_length(broker) BETWEEN 1 AND 128),
    login     bigint      NOT NULL CHECK (login >= 0),
    symbol    text        NOT NULL CHECK (octet_length(symbol) BETWEEN 1 AND 64),
    epoch     bigint      NOT NULL CHECK (epoch BETWEEN 1 AND 4294967295),
    digits    smallint    NOT NULL CHECK (digits BETWEEN 0 AND 10),
    opened_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, device_id, broker, login, symbol, epoch)
);
SELECT app.guard_tenant_table('market.streams');
CREATE INDEX streams_by_symbol ON market.streams (tenant_id, symbol);
GRANT SELECT, INSERT ON market.streams TO "database";

-- Which sequence numbers of a stream are stored in ClickHouse, exactly: the ranges make a second
-- copy recognisable and a hole visible, whatever the order of arrival.
CREATE TABLE market.tick_marks (
    tenant_id  uuid           NOT NULL,
    stream_id  uuid           NOT NULL,
    stored     int8multirange NOT NULL,
    updated_at timestamptz    NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, stream_id),
    FOREIGN KEY (tenant_id, stream_id) REFERENCES market.streams (tenant_id, id)
);
SELECT app.guard_tenant_table('market.tick_marks');
GRANT SELECT, INSERT, UPDATE ON market.tick_marks TO "database";

-- Segments that were stored completely; a short memory that answers a repeated hand-over at once.
-- It belongs to the platform: a segment holds ticks of several tenants.
CREATE TABLE market.ingested_segments (
    spool_id   uuid        NOT NULL,
    segment_id bigint      NOT NULL,
    checksum   bytea       NOT NULL CHECK (octet_length(checksum) = 32),
    row_count  integer     NOT NULL CHECK (row_count >= 0),
    stored_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (spool_id, segment_id)
);
CREATE INDEX ingested_segments_by_age ON market.ingested_segments (stored_at);
GRANT SELECT, INSERT, DELETE ON market.ingested_segments TO "database";
