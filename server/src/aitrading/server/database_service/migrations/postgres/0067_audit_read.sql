-- The audit trail can be read: one organisation's own, whole (`audit_logs`) and what concerns who
-- gets in and with what rights (`security_events`). Which actions are of that kind is declared in
-- server/kit/audit_actions.py and written with each event; the list below is that of the day of
-- this migration, for events from before it. Whatever was denied is of that kind.
ALTER TABLE audit.pending ADD COLUMN security boolean NOT NULL DEFAULT false;

ALTER TABLE audit.pending NO FORCE ROW LEVEL SECURITY;
UPDATE audit.pending SET security = true
 WHERE outcome = 'denied'
    OR action IN ('identity.login.refused', 'identity.login_link.created', 'identity.token.given',
                  'identity.session.opened', 'identity.session.ended',
                  'identity.session.refresh_reused', 'identity.user.created',
                  'identity.user.password_reset', 'identity.user.suspended',
                  'identity.user.active', 'identity.device.invited', 'identity.device.enrolled',
                  'identity.device.renewed', 'identity.device.revoked', 'identity.key.rewrapped',
                  'backup.restore');
ALTER TABLE audit.pending FORCE ROW LEVEL SECURITY;

-- Pages go back in time by id, which is ordered by it, also within one action or the subset.
CREATE INDEX pending_by_action ON audit.pending (tenant_id, action, id);
CREATE INDEX pending_security ON audit.pending (tenant_id, id) WHERE security;

CREATE VIEW audit.audit_logs WITH (security_invoker = true) AS
SELECT id, occurred_at, service, actor, action, subject, outcome, security, trace_id, details
  FROM audit.pending;
COMMENT ON VIEW audit.audit_logs IS 'Who did what to what, and how it ended.';

CREATE VIEW audit.security_events WITH (security_invoker = true) AS
SELECT id, occurred_at, service, actor, action, subject, outcome, security, trace_id, details
  FROM audit.pending
 WHERE security;
COMMENT ON VIEW audit.security_events IS
    'Who got in or was refused, and whose rights, devices and keys changed.';

-- A view that leaves the walls to the caller needs the caller's right to the table; reading is all
-- of it. Who writes says of which kind an event is.
GRANT SELECT ON audit.pending, audit.audit_logs, audit.security_events TO "database";
GRANT INSERT (security) ON audit.pending TO "database", identity, trading;
