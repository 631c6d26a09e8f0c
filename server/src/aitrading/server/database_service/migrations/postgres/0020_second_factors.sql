-- Second factors of people: authenticator apps and recovery codes, and logins that wait for one.
-- Written by the role `identity` of the api-gateway alone.

-- Wrong codes are counted for a person, over all processes and networks.
ALTER TABLE identity.users
    ADD COLUMN code_failures integer NOT NULL DEFAULT 0 CHECK (code_failures >= 0),
    ADD COLUMN code_failed_at timestamptz;

-- An authenticator app (RFC 6238). The secret is sealed; every step is accepted once, and none
-- before it afterwards.
CREATE TABLE identity.totp (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    secret_sealed bytea NOT NULL,
    last_step bigint NOT NULL DEFAULT 0,
    begun_at timestamptz NOT NULL,
    confirmed_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, user_id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES identity.users (tenant_id, id) ON DELETE CASCADE
);

-- Recovery codes as digests under the organisation's key; each works once.
CREATE TABLE identity.recovery_codes (
    tenant_id uuid NOT NULL,
    user_id uuid NOT NULL,
    code_index bytea NOT NULL CHECK (octet_length(code_index) = 32),
    used_at timestamptz,
    PRIMARY KEY (tenant_id, user_id, code_index),
    FOREIGN KEY (tenant_id, user_id) REFERENCES identity.users (tenant_id, id) ON DELETE CASCADE
);

-- A login whose first proof was right and that waits for the second, as the hash of a secret that
-- only the second step takes. It opens one session, or none.
CREATE TABLE identity.login_challenges (
    tenant_id uuid NOT NULL,
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    user_id uuid NOT NULL,
    attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    PRIMARY KEY (tenant_id, hash),
    FOREIGN KEY (tenant_id, user_id) REFERENCES identity.users (tenant_id, id) ON DELETE CASCADE
);

SELECT app.guard_tenant_table(relation) FROM unnest(ARRAY[
    'identity.totp', 'identity.recovery_codes', 'identity.login_challenges'
]::regclass[]) AS relation;

GRANT SELECT, INSERT, UPDATE, DELETE
    ON identity.totp, identity.recovery_codes, identity.login_challenges TO identity;
