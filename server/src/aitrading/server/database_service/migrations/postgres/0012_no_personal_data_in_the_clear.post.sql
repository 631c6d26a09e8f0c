-- Takes away what is sealed by now, and which account a stream came from: nothing reads it.
ALTER TABLE identity.users
    ALTER COLUMN name_sealed SET NOT NULL,
    ALTER COLUMN name_index SET NOT NULL,
    ALTER COLUMN display_name_sealed SET NOT NULL,
    DROP COLUMN name,
    DROP COLUMN display_name;
ALTER TABLE identity.devices
    ALTER COLUMN name_sealed SET NOT NULL,
    ALTER COLUMN name_index SET NOT NULL,
    DROP COLUMN name;
ALTER TABLE identity.accounts
    ALTER COLUMN name_sealed SET NOT NULL,
    ALTER COLUMN login_sealed SET NOT NULL,
    ALTER COLUMN login_index SET NOT NULL,
    DROP COLUMN name,
    DROP COLUMN login;
ALTER TABLE market.streams DROP COLUMN login;
