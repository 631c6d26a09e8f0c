-- A person may administer an organisation without trading for it.
ALTER TABLE identity.users
    DROP CONSTRAINT users_role_check,
    ADD CONSTRAINT users_role_check
        CHECK (role IN ('owner', 'admin', 'trader', 'viewer', 'auditor'));
