-- name: accounts_of_tenant
SELECT id, name_sealed, broker_server, login_sealed, currency, margin_mode, simulated
  FROM identity.accounts
 ORDER BY id;
