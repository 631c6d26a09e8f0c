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

-- The files of an installed client: what it reported last, and what its organisation accepts. The
-- first report of a device is accepted; every other one waits for an administrator.
CREATE TABLE identity.device_files (
    tenant_id uuid NOT NULL,
    device_id uuid NOT NULL,
    accepted_sha256 text NOT NULL CHECK (accepted_sha256 ~ '^[0-9a-f]{64}$'),
    reported_sha256 text NOT NULL CHECK (reported_sha256 ~ '^[0-9a-f]{64}$'),
    software text NOT NULL CHECK (length(software) BETWEEN 1 AND 64),
    altered integer NOT NULL CHECK (altered >= 0),
    is_traced boolean NOT NULL,
    reported_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, device_id),
    FOREIGN KEY (tenant_id, device_id) REFERENCES identity.devices (tenant_id, id) ON DELETE CASCADE
);

-- The settings that an organisation gives to one of its devices; the version only grows.
CREATE TABLE identity.device_configurations (
    tenant_id uuid NOT NULL,
    device_id uuid NOT NULL,
    version bigint NOT NULL CHECK (version > 0),
    settings text NOT NULL CHECK (length(settings) BETWEEN 2 AND 8192),
    set_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, device_id),
    FOREIGN KEY (tenant_id, device_id) REFERENCES identity.devices (tenant_id, id) ON DELETE CASCADE
);

SELECT app.guard_tenant_table(relation) FROM unnest(ARRAY[
    'identity.credential_shares', 'identity.device_files', 'identity.device_configurations'
]::regclass[]) AS relation;

GRANT SELECT, INSERT, UPDATE
    ON identity.credential_shares, identity.device_files, identity.device_configurations
    TO identity;
GRANT DELETE ON identity.credential_shares TO identity;
