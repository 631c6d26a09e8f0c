-- What an installed client said last about the ground it stands on. Bad news bars the device from new
-- exposure until an administrator allows it again; good news changes nothing. `report` is what was sent.
-- Written by the role `identity`; the trading engine reads who is barred.
CREATE TABLE identity.device_reports (
    tenant_id uuid NOT NULL,
    device_id uuid NOT NULL,
    reported_at timestamptz NOT NULL,
    report text NOT NULL CHECK (length(report) <= 16384),
    files text NOT NULL CHECK (files IN ('intact', 'altered', 'unsigned')),
    debugger boolean NOT NULL,
    barred_at timestamptz,
    barred_reason text CHECK (length(barred_reason) <= 256),
    PRIMARY KEY (tenant_id, device_id),
    CHECK ((barred_at IS NULL) = (barred_reason IS NULL)),
    FOREIGN KEY (tenant_id, device_id) REFERENCES identity.devices (tenant_id, id) ON DELETE CASCADE
);

SELECT app.guard_tenant_table('identity.device_reports');

GRANT SELECT, INSERT, UPDATE, DELETE ON identity.device_reports TO identity;
GRANT SELECT ON identity.device_reports TO trading;
