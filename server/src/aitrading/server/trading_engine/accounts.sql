-- name: accounts_of_tenant
SELECT id, name, broker_server, login, currency, margin_mode, simulated
  FROM identity.accounts
 ORDER BY broker_server, login;
