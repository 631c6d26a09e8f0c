-- What the server keeps for the vault of an installed client. Written by the role `identity` of the
-- api-gateway alone.

-- The server's half of the key of a device's stored broker login, sealed under the organisation's
-- key. A new generation waits beside the present one until the device used it; then the older one
-- is deleted, and with it whatever was sealed under it.
CREATE TABLE identity.credential_shares (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    device_id uuid NOT NULL,
    generation bigint NOT NULL CHECK (generation > 0),
    share_sealed bytea NOT NULL,
    created_at timestamptz NOT NULL,
    leased_until timestamptz,
    rotation_wanted_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, device_id, generation),
    FOREIGN KEY (tenant_id, device_id) REFERENCES identity.devices (tenant_id, id) ON DELETE CASCADE
);

SELECT app.guard_tenant_table('identity.credential_shares');

GRANT SELECT, INSERT, UPDATE, DELETE ON identity.credential_shares TO identity;
