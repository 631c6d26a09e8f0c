-- Who may use the platform: organisations, people, sessions, devices, accounts, subscriptions.
-- Written by the role `identity` of the api-gateway alone.

GRANT USAGE ON SCHEMA identity TO trading;

-- The list of tenants belongs to nobody's tenant: a login names its tenant, so nothing is ever
-- looked up across tenants (docs/decisions/0011-a-login-names-its-tenant.md).
CREATE TABLE identity.tenants (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE CHECK (name ~ '^[a-z][a-z0-9-]{1,62}$'),
    state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'suspended')),
    created_at timestamptz NOT NULL
);

-- A person of an organisation. The password is an Argon2id hash; the name is unique within the
-- organisation only.
CREATE TABLE identity.users (
    tenant_id uuid NOT NULL REFERENCES identity.tenants (id),
    id uuid NOT NULL,
    name text NOT NULL CHECK (name ~ '^[a-z0-9][a-z0-9._@+-]{0,127}$'),
    display_name text NOT NULL CHECK (length(display_name) BETWEEN 1 AND 128),
    role text NOT NULL CHECK (role IN ('owner', 'trader', 'viewer', 'auditor')),
    password_hash text NOT NULL,
    state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'suspended')),
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, name)
);

-- A login of a person; ends by idling, by age, or with a reason.
CREATE TABLE identity.sessions (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    authentication text NOT NULL CHECK (authentication IN ('pwd', 'link', 'host', 'mfa')),
    authenticated_at timestamptz NOT NULL,
    idle_until timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    ended_at timestamptz,
    ended_reason text CHECK (ended_reason IN ('logout', 'refresh_reuse', 'suspended', 'password')),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES identity.users (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX sessions_of_user ON identity.sessions (tenant_id, user_id) WHERE ended_at IS NULL;
CREATE INDEX sessions_ended ON identity.sessions (tenant_id, ended_at) WHERE ended_at IS NOT NULL;

-- The chain of refresh tokens of a session, as hashes: one is live, the used ones reveal a theft.
CREATE TABLE identity.refresh_tokens (
    tenant_id uuid NOT NULL,
    session_id uuid NOT NULL,
    hash bytea NOT NULL CHECK (length(hash) = 32),
    state text NOT NULL CHECK (state IN ('live', 'used')),
    used_at timestamptz,
    PRIMARY KEY (tenant_id, session_id, hash),
    FOREIGN KEY (tenant_id, session_id) REFERENCES identity.sessions (tenant_id, id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX one_live_refresh_token
    ON identity.refresh_tokens (tenant_id, session_id) WHERE state = 'live';

-- One-time links that open the page logged in, as hashes.
CREATE TABLE identity.login_links (
    tenant_id uuid NOT NULL,
    hash bytea NOT NULL CHECK (length(hash) = 32),
    user_id uuid NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    PRIMARY KEY (tenant_id, hash),
    FOREIGN KEY (tenant_id, user_id) REFERENCES identity.users (tenant_id, id) ON DELETE CASCADE
);

-- An installed client: its key and its newest certificate.
CREATE TABLE identity.devices (
    tenant_id uuid NOT NULL REFERENCES identity.tenants (id),
    id uuid NOT NULL,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 64),
    state text NOT NULL DEFAULT 'invited' CHECK (state IN ('invited', 'active', 'revoked')),
    public_key bytea,
    certificate_sha256 text CHECK (certificate_sha256 ~ '^[0-9a-f]{64}$'),
    certificate_ends_at timestamptz,
    created_at timestamptz NOT NULL,
    enrolled_at timestamptz,
    revoked_at timestamptz,
    PRIMARY KEY (tenant_id, id)
);
-- A revoked device keeps its row and its id for ever; its name may be used again.
CREATE UNIQUE INDEX device_names ON identity.devices (tenant_id, name) WHERE state <> 'revoked';

-- One-time codes with which a device asks for its first certificate, as hashes.
CREATE TABLE identity.enrolment_codes (
    tenant_id uuid NOT NULL,
    hash bytea NOT NULL CHECK (length(hash) = 32),
    device_id uuid NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    PRIMARY KEY (tenant_id, hash),
    FOREIGN KEY (tenant_id, device_id) REFERENCES identity.devices (tenant_id, id) ON DELETE CASCADE
);

-- A broker account of an organisation, and the device that may execute it.
CREATE TABLE identity.accounts (
    tenant_id uuid NOT NULL REFERENCES identity.tenants (id),
    id uuid NOT NULL,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 64),
    broker_server text NOT NULL CHECK (length(broker_server) BETWEEN 1 AND 128),
    login text NOT NULL CHECK (login ~ '^[0-9]{1,20}$'),
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    margin_mode text NOT NULL CHECK (margin_mode IN ('hedging', 'netting')),
    simulated boolean NOT NULL,
    device_id uuid,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, broker_server, login),
    FOREIGN KEY (tenant_id, device_id) REFERENCES identity.devices (tenant_id, id)
);

-- What an organisation is entitled to; the version grows with every change.
CREATE TABLE identity.subscriptions (
    tenant_id uuid NOT NULL REFERENCES identity.tenants (id),
    plan text NOT NULL CHECK (plan ~ '^[a-z][a-z0-9-]{1,30}$'),
    features text[] NOT NULL,
    state text NOT NULL CHECK (state IN ('active', 'paused', 'ended')),
    valid_from timestamptz NOT NULL,
    valid_to timestamptz,
    version bigint NOT NULL CHECK (version > 0),
    PRIMARY KEY (tenant_id)
);

SELECT app.guard_tenant_table(relation) FROM unnest(ARRAY[
    'identity.users', 'identity.sessions', 'identity.refresh_tokens', 'identity.login_links',
    'identity.devices', 'identity.enrolment_codes', 'identity.accounts', 'identity.subscriptions'
]::regclass[]) AS relation;

GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA identity TO identity;
GRANT DELETE ON identity.refresh_tokens, identity.login_links, identity.enrolment_codes,
    identity.sessions TO identity;
GRANT SELECT ON identity.accounts, identity.subscriptions TO trading;
