-- migrate: step=seal-personal-data
-- Seals what the release before wrote while this one started.
LOCK TABLE identity.users, identity.devices, identity.accounts IN SHARE ROW EXCLUSIVE MODE;
