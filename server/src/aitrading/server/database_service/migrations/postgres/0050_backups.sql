-- Every backup that was begun, and what became of it. It concerns the installation as a whole.
CREATE TABLE app.backups (
    id            uuid        NOT NULL PRIMARY KEY,
    state         text        NOT NULL CHECK (state IN ('running', 'made', 'failed', 'restored')),
    target        text        NOT NULL CHECK (length(target) BETWEEN 1 AND 4096),
    began_at      timestamptz NOT NULL,
    ended_at      timestamptz,
    size_bytes    bigint      CHECK (size_bytes >= 0),
    content_bytes bigint      CHECK (content_bytes >= 0),
    took_ms       bigint      CHECK (took_ms >= 0),
    verified_at   timestamptz,
    reason        text        CHECK (length(reason) <= 1000),
    CHECK ((state = 'running') = (ended_at IS NULL))
);
CREATE INDEX backups_by_time ON app.backups (began_at DESC);
GRANT SELECT, INSERT, UPDATE ON app.backups TO "database";
