-- Until when a password counts that was made for a person; NULL for one that the person chose, and
-- for what there was before.
ALTER TABLE identity.users ADD COLUMN password_ends_at timestamptz;
