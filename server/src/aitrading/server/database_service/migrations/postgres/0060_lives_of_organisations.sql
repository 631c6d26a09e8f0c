-- An organisation can be suspended, let in again, and erased: its key is destroyed, for good.
ALTER TABLE identity.tenants
    DROP CONSTRAINT tenants_state_check,
    ADD CONSTRAINT tenants_state_check CHECK (state IN ('active', 'suspended', 'erased'));
ALTER TABLE identity.sessions
    DROP CONSTRAINT sessions_ended_reason_check,
    ADD CONSTRAINT sessions_ended_reason_check
        CHECK (ended_reason IN ('logout', 'refresh_reuse', 'suspended', 'password', 'erased', 'role'));
GRANT DELETE ON app.tenant_keys TO identity;
