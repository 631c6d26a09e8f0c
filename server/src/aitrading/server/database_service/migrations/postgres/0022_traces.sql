CREATE SCHEMA traces;
GRANT USAGE ON SCHEMA traces TO "database";

-- Requests worth keeping: each that failed or was refused, each that was slow, and a share of the
-- rest. One trace may have a row for each organisation that had a part in it; what belongs to
-- none is the platform's own (the nil tenant). No text of a customer is in here: names are those
-- of routes, statements and services.
CREATE TABLE traces.traces (
    tenant_id  uuid        NOT NULL,
    trace_id   text        NOT NULL CHECK (trace_id ~ '^[0-9a-f]{32}$'),
    began_at   timestamptz NOT NULL,
    ended_at   timestamptz NOT NULL,
    rank       smallint    NOT NULL CHECK (rank BETWEEN 0 AND 2),
    code       text        CHECK (length(code) <= 100),
    name       text        NOT NULL CHECK (length(name) <= 120),
    service    text        NOT NULL CHECK (length(service) <= 64),
    PRIMARY KEY (tenant_id, trace_id)
);
SELECT app.guard_tenant_table('traces.traces');
CREATE INDEX traces_worst_first
    ON traces.traces (tenant_id, rank DESC, began_at DESC, trace_id DESC);
CREATE INDEX traces_by_time ON traces.traces (tenant_id, began_at);
GRANT SELECT, INSERT, UPDATE, DELETE ON traces.traces TO "database";

-- The steps of a kept trace; `part_id` is the step that stands for all one process did for it.
CREATE TABLE traces.spans (
    tenant_id   uuid     NOT NULL,
    trace_id    text     NOT NULL,
    span_id     text     NOT NULL CHECK (span_id ~ '^[0-9a-f]{16}$'),
    parent_id   text     CHECK (parent_id ~ '^[0-9a-f]{16}$'),
    part_id     text     NOT NULL CHECK (part_id ~ '^[0-9a-f]{16}$'),
    service     text     NOT NULL CHECK (length(service) <= 64),
    kind        text     NOT NULL CHECK (length(kind) <= 20),
    name        text     NOT NULL CHECK (length(name) <= 120),
    began_ns    bigint   NOT NULL,
    took_ns     bigint   NOT NULL,
    outcome     text     NOT NULL CHECK (length(outcome) <= 20),
    code        text     CHECK (length(code) <= 100),
    fingerprint text     CHECK (fingerprint ~ '^[0-9a-f]{16}$'),
    cut         integer  NOT NULL,
    PRIMARY KEY (tenant_id, trace_id, span_id),
    FOREIGN KEY (tenant_id, trace_id) REFERENCES traces.traces (tenant_id, trace_id)
        ON DELETE CASCADE
);
SELECT app.guard_tenant_table('traces.spans');
GRANT SELECT, INSERT, DELETE ON traces.spans TO "database";
