CREATE SCHEMA errors;
GRANT USAGE ON SCHEMA errors TO "database";

-- What went wrong, folded by fingerprint, for each organisation apart; the platform's own errors
-- belong to the nil tenant. No text of a customer is in here: messages have their varying parts
-- taken out before they leave the process.
CREATE TABLE errors.errors (
    tenant_id   uuid        NOT NULL,
    fingerprint text        NOT NULL CHECK (fingerprint ~ '^[0-9a-f]{16}$'),
    code        text        NOT NULL CHECK (length(code) BETWEEN 1 AND 100),
    kind        text        NOT NULL CHECK (length(kind) <= 300),
    frames      text[]      NOT NULL CHECK (cardinality(frames) <= 16),
    message     text        NOT NULL CHECK (length(message) <= 1000),
    severity    text        NOT NULL,
    impact      text        NOT NULL,
    services    text[]      NOT NULL CHECK (cardinality(services) BETWEEN 1 AND 32),
    occurrences bigint      NOT NULL CHECK (occurrences > 0),
    first_seen  timestamptz NOT NULL,
    last_seen   timestamptz NOT NULL,
    trace_id    text        CHECK (length(trace_id) <= 64),
    indexed_in  text,
    PRIMARY KEY (tenant_id, fingerprint)
);
SELECT app.guard_tenant_table('errors.errors');
CREATE INDEX errors_by_time ON errors.errors (tenant_id, last_seen DESC, fingerprint DESC);
GRANT SELECT, INSERT, UPDATE, DELETE ON errors.errors TO "database";

-- What people found to solve it. It stays when the error itself is forgotten.
CREATE TABLE errors.resolutions (
    tenant_id   uuid        NOT NULL,
    id          uuid        NOT NULL,
    fingerprint text        NOT NULL CHECK (fingerprint ~ '^[0-9a-f]{16}$'),
    note        text        NOT NULL CHECK (length(note) BETWEEN 1 AND 4000),
    author      text        NOT NULL CHECK (length(author) BETWEEN 1 AND 200),
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
SELECT app.guard_tenant_table('errors.resolutions');
CREATE INDEX resolutions_by_error ON errors.resolutions (tenant_id, fingerprint, created_at, id);
GRANT SELECT, INSERT, UPDATE, DELETE ON errors.resolutions TO "database";

-- Vectors for finding similar errors: plain arrays, compared with pgvector where that is
-- installed and by SQL alone where it is not. A tenant's rows are few, so the search is exact.
CREATE TABLE errors.vectors (
    tenant_id   uuid   NOT NULL,
    fingerprint text   NOT NULL,
    embedding   real[] NOT NULL CHECK (cardinality(embedding) = 256),
    PRIMARY KEY (tenant_id, fingerprint),
    FOREIGN KEY (tenant_id, fingerprint) REFERENCES errors.errors (tenant_id, fingerprint)
        ON DELETE CASCADE
);
SELECT app.guard_tenant_table('errors.vectors');
GRANT SELECT, INSERT, UPDATE, DELETE ON errors.vectors TO "database";
