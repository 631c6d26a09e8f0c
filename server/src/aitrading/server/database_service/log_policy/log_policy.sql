-- name: policies
SELECT p.log_level, p.retention_days, p.storage_tier, p.compression_algo, p.compliance_required,
       p.legal_hold, v.cost_per_gb_month, p.version, p.created_at, p.updated_at
  FROM app.log_policy p
  JOIN app.log_retention_policies v USING (log_level)
 ORDER BY p.retention_days, p.log_level;

-- name: set_policy
UPDATE app.log_policy
   SET retention_days = $2, storage_tier = $3, compression_algo = $4, compliance_required = $5,
       legal_hold = $6, version = version + 1, updated_at = now()
 WHERE log_level = $1;

-- name: tiers
SELECT tier_name, technology, from_day, max_query_latency_ms, capacity_gb, cost_per_gb_month,
       compression_ratio, is_active, version
  FROM app.storage_tier ORDER BY from_day;

-- name: set_tier
UPDATE app.storage_tier
   SET cost_per_gb_month = $2, max_query_latency_ms = $3, capacity_gb = $4, version = version + 1
 WHERE tier_name = $1;

-- name: costs
SELECT date, total_logs_gb, hot_storage_cost, warm_storage_cost, cold_storage_cost,
       total_monthly_cost, savings_vs_uniform
  FROM app.log_cost_metrics WHERE date < $1 ORDER BY date DESC LIMIT $2;

-- name: usage
SELECT log_level, tier_name, line_count, stored_bytes
  FROM app.log_usage WHERE date = $1 ORDER BY log_level, tier_name;

-- name: forget_usage
DELETE FROM app.log_usage WHERE date = $1;

-- name: put_usage
INSERT INTO app.log_usage (date, log_level, tier_name, line_count, stored_bytes)
VALUES ($1, $2, $3, $4, $5);

-- name: put_cost
INSERT INTO app.log_cost
       (date, total_logs_gb, hot_storage_cost, warm_storage_cost, cold_storage_cost,
        total_monthly_cost, savings_vs_uniform)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (date) DO UPDATE
   SET total_logs_gb = excluded.total_logs_gb, hot_storage_cost = excluded.hot_storage_cost,
       warm_storage_cost = excluded.warm_storage_cost,
       cold_storage_cost = excluded.cold_storage_cost,
       total_monthly_cost = excluded.total_monthly_cost,
       savings_vs_uniform = excluded.savings_vs_uniform;

-- name: decide_deletion
INSERT INTO app.log_deletion (sha256, file, size_bytes, line_count, newest_on, decided_at)
VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (sha256) DO NOTHING;

-- name: deleted
UPDATE app.log_deletion SET deleted_at = $2 WHERE sha256 = $1 AND deleted_at IS NULL;

-- name: finish
UPDATE app.log_deletion SET deleted_at = $1 WHERE deleted_at IS NULL;
