-- Who made a program's key, as the audit trail names it: `user:ID` or the host. Keys of before do
-- not say it.
ALTER TABLE identity.api_keys
    ADD COLUMN created_by text CHECK (length(created_by) BETWEEN 1 AND 64);
CREATE INDEX api_keys_by_maker ON identity.api_keys (tenant_id, created_by)
    WHERE revoked_at IS NULL;
