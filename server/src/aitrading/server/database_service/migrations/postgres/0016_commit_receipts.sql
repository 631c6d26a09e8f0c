-- Receipts of changes whose commit may have to be asked for; each lasts a day and goes with a later change.
CREATE TABLE app.commit_receipts (
    tenant_id uuid        NOT NULL,
    id        uuid        NOT NULL,
    taken_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id)
);
SELECT app.guard_tenant_table('app.commit_receipts');
CREATE INDEX commit_receipts_oldest ON app.commit_receipts (tenant_id, taken_at);
GRANT SELECT, INSERT, DELETE, UPDATE (taken_at) ON app.commit_receipts TO "database", identity, trading;
