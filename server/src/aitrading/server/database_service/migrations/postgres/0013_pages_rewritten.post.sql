-- migrate: no-transaction
-- A dropped column stays in the pages of its table until they are written anew.
VACUUM (FULL) identity.users, identity.devices, identity.accounts, market.streams;
