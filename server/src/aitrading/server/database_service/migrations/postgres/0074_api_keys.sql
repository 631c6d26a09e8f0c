-- A program is a person with the role `service`: nobody knows its password, and its rights come from
-- its key.
ALTER TABLE identity.users
    DROP CONSTRAINT users_role_check,
    ADD CONSTRAINT users_role_check
        CHECK (role IN ('owner', 'admin', 'trader', 'viewer', 'auditor', 'service'));
ALTER TABLE identity.sessions
    DROP CONSTRAINT sessions_authentication_check,
    ADD CONSTRAINT sessions_authentication_check
        CHECK (authentication IN ('pwd', 'link', 'host', 'mfa', 'key'));

-- What a program exchanges for a token: the hash of a secret of 256 random bits, or the thumbprint
-- of a key that signs a proof. The name is that of the program. `paced_until` is when an exchange at
-- the steady pace would come next: how far it lies ahead says how often the key was exchanged lately.
CREATE TABLE identity.api_keys (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    hash bytea CHECK (octet_length(hash) = 32),
    thumbprint text CHECK (length(thumbprint) = 43),
    scopes text[] NOT NULL CHECK (
        cardinality(scopes) BETWEEN 1 AND 5
        AND scopes <@ ARRAY['read', 'trade', 'kill', 'admin', 'audit']
    ),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    last_used_at timestamptz,
    paced_until timestamptz,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, user_id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES identity.users (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT api_keys_one_proof CHECK ((hash IS NULL) <> (thumbprint IS NULL)),
    CONSTRAINT api_keys_at_most_a_year CHECK (expires_at <= created_at + interval '366 days')
);

SELECT app.guard_tenant_table('identity.api_keys'::regclass);

GRANT SELECT, INSERT, UPDATE, DELETE ON identity.api_keys TO identity;
