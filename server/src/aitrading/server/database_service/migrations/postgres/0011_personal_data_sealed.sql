-- migrate: step=seal-personal-data
-- Names of people, their computers and their accounts are kept sealed (server/personal_data).
-- The step gives every organisation a key and seals what is there.

-- The key of each organisation's personal data, wrapped by a master key outside of the database.
-- Without its row, every sealed value of the organisation is gone for good.
CREATE TABLE app.tenant_keys (
    tenant_id  uuid        NOT NULL,
    master     smallint    NOT NULL CHECK (master > 0),
    wrapped    bytea       NOT NULL CHECK (octet_length(wrapped) = 60),
    created_at timestamptz NOT NULL DEFAULT now(),
    wrapped_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id)
);
SELECT app.guard_tenant_table('app.tenant_keys');
GRANT SELECT, INSERT, UPDATE (master, wrapped, wrapped_at) ON app.tenant_keys TO identity;
GRANT SELECT ON app.tenant_keys TO trading;

ALTER TABLE identity.users
    ADD COLUMN name_sealed bytea,
    ADD COLUMN name_index bytea CHECK (octet_length(name_index) = 32),
    ADD COLUMN display_name_sealed bytea,
    ALTER COLUMN name DROP NOT NULL,
    ALTER COLUMN display_name DROP NOT NULL;
ALTER TABLE identity.devices
    ADD COLUMN name_sealed bytea,
    ADD COLUMN name_index bytea CHECK (octet_length(name_index) = 32),
    ALTER COLUMN name DROP NOT NULL;
ALTER TABLE identity.accounts
    ADD COLUMN name_sealed bytea,
    ADD COLUMN login_sealed bytea,
    ADD COLUMN login_index bytea CHECK (octet_length(login_index) = 32),
    ALTER COLUMN name DROP NOT NULL,
    ALTER COLUMN login DROP NOT NULL;
CREATE UNIQUE INDEX user_name_indexes ON identity.users (tenant_id, name_index);
CREATE UNIQUE INDEX device_name_indexes
    ON identity.devices (tenant_id, name_index) WHERE state <> 'revoked';
CREATE UNIQUE INDEX account_login_indexes ON identity.accounts (tenant_id, login_index);

-- Nothing reads which account a stream came from; what is not kept cannot be stolen.
ALTER TABLE market.streams ALTER COLUMN login DROP NOT NULL;
