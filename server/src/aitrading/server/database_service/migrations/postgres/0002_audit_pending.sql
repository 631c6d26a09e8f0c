-- Audit events leave here for the log of evidence; they are written in the same transaction as
-- the change they describe. Services add and never read, change or remove. An event that concerns
-- no customer belongs to the platform: the nil tenant.
CREATE TABLE audit.pending (
    tenant_id   uuid        NOT NULL
                DEFAULT coalesce(app.tenant(), '00000000-0000-0000-0000-000000000000'),
    id          uuid        NOT NULL,
    occurred_at timestamptz NOT NULL,
    service     text        NOT NULL DEFAULT current_user,
    actor       text        NOT NULL CHECK (length(actor) BETWEEN 1 AND 200),
    action      text        NOT NULL CHECK (action ~ '^[a-z]+(\.[a-z_]+){1,4}$'),
    subject     text        NOT NULL CHECK (length(subject) <= 200),
    outcome     text        NOT NULL CHECK (outcome IN ('done', 'denied', 'failed')),
    trace_id    text        CHECK (trace_id ~ '^[0-9a-f]{32}$'),
    details     jsonb       NOT NULL DEFAULT '{}' CHECK (length(details::text) <= 16384),
    PRIMARY KEY (tenant_id, id)
);

ALTER TABLE audit.pending ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit.pending FORCE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON audit.pending
    USING (tenant_id = coalesce(app.tenant(), '00000000-0000-0000-0000-000000000000'))
    WITH CHECK (tenant_id = coalesce(app.tenant(), '00000000-0000-0000-0000-000000000000')
                AND service = current_user);
GRANT INSERT (tenant_id, id, occurred_at, actor, action, subject, outcome, trace_id, details)
    ON audit.pending TO "database", identity, trading;
