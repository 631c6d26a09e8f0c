-- Security keys (WebAuthn) as second factors of people, and the challenges that they sign.
-- Written by the role `identity` of the api-gateway alone.

-- One key of a person, for one name of the installation: a browser shows it to no other. `name` is
-- what the person called it, sealed. `sign_count` only grows, where a key counts at all.
CREATE TABLE identity.security_keys (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    name_sealed bytea NOT NULL,
    host text NOT NULL CHECK (char_length(host) BETWEEN 1 AND 253),
    credential_id bytea NOT NULL CHECK (octet_length(credential_id) BETWEEN 1 AND 1023),
    public_key bytea NOT NULL CHECK (octet_length(public_key) BETWEEN 1 AND 2048),
    sign_count bigint NOT NULL CHECK (sign_count >= 0),
    added_at timestamptz NOT NULL,
    used_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, credential_id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES identity.users (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX security_keys_of_person ON identity.security_keys (tenant_id, user_id);

-- What a key is to sign, once: bound to the session or the login that asked, one at a time.
CREATE TABLE identity.key_challenges (
    tenant_id uuid NOT NULL,
    purpose text NOT NULL CHECK (purpose IN ('add', 'prove', 'login')),
    bound_to bytea NOT NULL CHECK (octet_length(bound_to) IN (16, 32)),
    user_id uuid NOT NULL,
    challenge bytea NOT NULL CHECK (octet_length(challenge) = 32),
    origin text NOT NULL CHECK (char_length(origin) BETWEEN 1 AND 300),
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, purpose, bound_to),
    FOREIGN KEY (tenant_id, user_id) REFERENCES identity.users (tenant_id, id) ON DELETE CASCADE
);

SELECT app.guard_tenant_table(relation) FROM unnest(ARRAY[
    'identity.security_keys', 'identity.key_challenges'
]::regclass[]) AS relation;

GRANT SELECT, INSERT, UPDATE, DELETE
    ON identity.security_keys, identity.key_challenges TO identity;
