-- Where logs live by age, and what that costs. It belongs to the platform, as all tables of the log
-- policy do; operators change it.
CREATE TABLE app.storage_tier (
    tier_name text PRIMARY KEY CHECK (tier_name ~ '^[a-z][a-z0-9_]{1,30}$'),
    technology text NOT NULL CHECK (length(technology) BETWEEN 1 AND 128),
    from_day integer NOT NULL UNIQUE CHECK (from_day BETWEEN 0 AND 3650),
    max_query_latency_ms integer NOT NULL CHECK (max_query_latency_ms BETWEEN 1 AND 60000),
    capacity_gb integer NOT NULL CHECK (capacity_gb > 0),
    cost_per_gb_month numeric(10, 4) NOT NULL CHECK (cost_per_gb_month >= 0),
    compression_ratio numeric(3, 1) NOT NULL CHECK (compression_ratio >= 1),
    is_active boolean NOT NULL DEFAULT true,
    version bigint NOT NULL DEFAULT 1
);
INSERT INTO app.storage_tier
    (tier_name, technology, from_day, max_query_latency_ms, capacity_gb, cost_per_gb_month,
     compression_ratio)
VALUES ('hot', 'in-process ring, DragonflyDB', 0, 1, 50, 0.9000, 1.0),
       ('warm', 'ClickHouse on SSD', 4, 100, 200, 0.4250, 3.0),
       ('cold', 'ClickHouse, high compression', 31, 2000, 500, 0.1800, 5.0);

-- How long the lines of a level stay and how they are stored; a legal hold wins over retention.
CREATE TABLE app.log_policy (
    log_level text PRIMARY KEY
        CHECK (log_level IN ('DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL')),
    retention_days integer NOT NULL CHECK (retention_days BETWEEN 1 AND 2557),
    storage_tier text NOT NULL REFERENCES app.storage_tier (tier_name),
    compression_algo text NOT NULL CHECK (compression_algo IN ('none', 'LZ4', 'ZSTD', 'ZSTD-max')),
    compliance_required boolean NOT NULL DEFAULT false,
    legal_hold boolean NOT NULL DEFAULT false,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT log_policy_compliance CHECK (NOT compliance_required OR retention_days >= 365)
);
INSERT INTO app.log_policy
    (log_level, retention_days, storage_tier, compression_algo, compliance_required)
VALUES ('DEBUG', 7, 'hot', 'none', false),
       ('INFO', 30, 'warm', 'LZ4', false),
       ('WARNING', 90, 'warm', 'ZSTD', false),
       ('ERROR', 180, 'cold', 'ZSTD', false),
       ('CRITICAL', 365, 'cold', 'ZSTD-max', true);

-- What the logs of a day's measurement took, by level and tier.
CREATE TABLE app.log_usage (
    date date NOT NULL,
    log_level text NOT NULL REFERENCES app.log_policy (log_level),
    tier_name text NOT NULL REFERENCES app.storage_tier (tier_name),
    line_count bigint NOT NULL CHECK (line_count >= 0),
    stored_bytes bigint NOT NULL CHECK (stored_bytes >= 0),
    PRIMARY KEY (date, log_level, tier_name)
);

-- The day's sums in money of a month, and what keeping every level equally long would cost more.
CREATE TABLE app.log_cost (
    date date PRIMARY KEY,
    total_logs_gb numeric(18, 9) NOT NULL,
    hot_storage_cost numeric(18, 6) NOT NULL,
    warm_storage_cost numeric(18, 6) NOT NULL,
    cold_storage_cost numeric(18, 6) NOT NULL,
    total_monthly_cost numeric(18, 6) NOT NULL,
    savings_vs_uniform numeric(18, 6) NOT NULL
);

-- Receipts: each log file that a policy removed, by its content. Without a time it was decided and
-- not yet done.
CREATE TABLE app.log_deletion (
    sha256 bytea PRIMARY KEY CHECK (octet_length(sha256) = 32),
    file text NOT NULL CHECK (length(file) BETWEEN 1 AND 255),
    size_bytes bigint NOT NULL CHECK (size_bytes >= 0),
    line_count bigint NOT NULL CHECK (line_count >= 0),
    newest_on date NOT NULL,
    decided_at timestamptz NOT NULL,
    deleted_at timestamptz
);

-- The shapes other programs know; the policy's price is the price of its tier, kept once.
CREATE VIEW app.log_retention_policies WITH (security_invoker = true) AS
SELECT p.log_level, p.retention_days, p.storage_tier, p.compression_algo, p.compliance_required,
       t.cost_per_gb_month, p.created_at, p.updated_at
  FROM app.log_policy p
  JOIN app.storage_tier t ON t.tier_name = p.storage_tier;
CREATE VIEW app.storage_tiers WITH (security_invoker = true) AS
SELECT tier_name, technology, max_query_latency_ms, cost_per_gb_month, compression_ratio, is_active
  FROM app.storage_tier;
CREATE VIEW app.log_cost_metrics WITH (security_invoker = true) AS
SELECT date, total_logs_gb, hot_storage_cost, warm_storage_cost, cold_storage_cost,
       total_monthly_cost, savings_vs_uniform
  FROM app.log_cost;
ALTER VIEW app.storage_tiers ALTER COLUMN is_active SET DEFAULT true;

GRANT SELECT, UPDATE ON app.log_policy, app.storage_tier TO "database";
GRANT SELECT, INSERT, UPDATE, DELETE ON app.log_usage TO "database";
GRANT SELECT, INSERT, UPDATE ON app.log_cost, app.log_deletion TO "database";
GRANT SELECT ON app.log_retention_policies, app.storage_tiers, app.log_cost_metrics TO "database";

-- The first answer to each write of a person, so that a repeat changes nothing and hears the same.
CREATE TABLE app.idempotent_writes (
    tenant_id uuid NOT NULL,
    key text NOT NULL CHECK (length(key) BETWEEN 8 AND 128),
    request_sha256 bytea NOT NULL CHECK (octet_length(request_sha256) = 32),
    answer jsonb NOT NULL,
    written_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, key)
);
SELECT app.guard_tenant_table('app.idempotent_writes');
GRANT SELECT, INSERT, DELETE ON app.idempotent_writes TO "database";

-- Operators are the people of the organisation named `platform`.
GRANT SELECT (name) ON identity.tenants TO "database";
