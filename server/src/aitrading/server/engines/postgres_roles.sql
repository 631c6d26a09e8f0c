-- Read by psql on its standard input after `\set <role>_password '...'` lines.
-- Repeating it changes nothing but the passwords.

SELECT format('CREATE ROLE %I', name)
  FROM unnest(ARRAY['aitrading_owner', 'migrator', 'database', 'identity', 'trading']) AS name
 WHERE to_regrole(name) IS NULL \gexec

ALTER ROLE aitrading_owner NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS;
ALTER ROLE migrator LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS PASSWORD :'migrator_password';
ALTER ROLE database LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS PASSWORD :'database_password';
ALTER ROLE identity LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS PASSWORD :'identity_password';
ALTER ROLE trading LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS PASSWORD :'trading_password';
GRANT aitrading_owner TO migrator;

SELECT 'CREATE DATABASE aitrading OWNER aitrading_owner'
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'aitrading') \gexec

\connect aitrading

REVOKE ALL ON DATABASE aitrading FROM PUBLIC;
GRANT CONNECT ON DATABASE aitrading TO migrator, database, identity, trading;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
ALTER SCHEMA public OWNER TO aitrading_owner;

-- Extensions stand apart; only the role that searches vectors may use them.
CREATE SCHEMA IF NOT EXISTS extensions;
REVOKE ALL ON SCHEMA extensions FROM PUBLIC;
GRANT USAGE ON SCHEMA extensions TO database;
SELECT 'CREATE EXTENSION IF NOT EXISTS vector SCHEMA extensions'
 WHERE EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector') \gexec
