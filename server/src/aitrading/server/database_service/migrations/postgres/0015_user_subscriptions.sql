-- What a person is entitled to within the plan of the organisation; the version grows with every
-- change. Without a row a person has what the organisation has.
CREATE TABLE identity.user_subscriptions (
    tenant_id uuid NOT NULL,
    user_id uuid NOT NULL,
    tier text NOT NULL CHECK (tier ~ '^[a-z][a-z0-9-]{1,30}$'),
    features text[] NOT NULL CHECK (cardinality(features) <= 64),
    state text NOT NULL CHECK (state IN ('active', 'paused', 'ended')),
    valid_from timestamptz NOT NULL,
    valid_to timestamptz,
    version bigint NOT NULL CHECK (version > 0),
    PRIMARY KEY (tenant_id, user_id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES identity.users (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT user_subscriptions_period CHECK (valid_to > valid_from)
);
SELECT app.guard_tenant_table('identity.user_subscriptions');
GRANT SELECT, INSERT, UPDATE ON identity.user_subscriptions TO identity;

-- The database service answers what somebody is entitled to; it sees no name and no secret for it.
GRANT USAGE ON SCHEMA identity TO "database";
GRANT SELECT (id, state) ON identity.tenants TO "database";
GRANT SELECT (tenant_id, id, state) ON identity.users TO "database";
GRANT SELECT ON identity.subscriptions, identity.user_subscriptions TO "database";
GRANT SELECT ON identity.user_subscriptions TO trading;
