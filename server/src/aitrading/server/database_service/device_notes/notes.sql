-- name: begin_queue
INSERT INTO market.device_queues (device_id, queue, last_position) VALUES ($1, $2, 0)
ON CONFLICT (tenant_id, device_id, queue) DO NOTHING;

-- name: hold_queue
SELECT last_position FROM market.device_queues WHERE device_id = $1 AND queue = $2 FOR UPDATE;

-- name: move_queue
UPDATE market.device_queues SET last_position = $3, shed = LEAST(shed + $4, 1000000000000000), taken_at = now()
 WHERE device_id = $1 AND queue = $2;

-- name: forget_queues
DELETE FROM market.device_queues WHERE device_id = $1 AND queue IN (
    SELECT queue FROM market.device_queues
     WHERE device_id = $1 ORDER BY taken_at DESC, queue OFFSET $2);

-- name: raise_alert
INSERT INTO market.alerts (id, device_id, symbol, rule, what, value, raised_at)
VALUES ($1, $2, $3, $4, $5, $6, to_timestamp($7::double precision))
ON CONFLICT (tenant_id, id) DO NOTHING;

-- name: clear_alert
UPDATE market.alerts SET cleared_at = to_timestamp($3::double precision), cleared_value = $4
 WHERE id = $1 AND device_id = $2 AND cleared_at IS NULL;

-- name: add_news
INSERT INTO market.news (id, device_id, kind, source, happens_at, title, body, url, currency,
                         importance, actual, forecast, previous)
VALUES ($1, $2, $3, $4, to_timestamp($5::double precision), $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT (tenant_id, id) DO NOTHING;

-- name: forget_alerts
DELETE FROM market.alerts WHERE id IN (
    SELECT id FROM market.alerts ORDER BY recorded_at DESC, id OFFSET $1);

-- name: forget_news
DELETE FROM market.news WHERE id IN (
    SELECT id FROM market.news ORDER BY recorded_at DESC, id OFFSET $1);

-- name: alerts
SELECT id, device_id, symbol, rule, what, value, raised_at, cleared_at, cleared_value
  FROM market.alerts
 WHERE ($1::text IS NULL OR symbol = $1)
   AND (NOT $2 OR cleared_at IS NULL)
   AND ($3::timestamptz IS NULL OR (raised_at, id) < ($3, $4))
 ORDER BY raised_at DESC, id DESC LIMIT $5;

-- name: news
SELECT id, device_id, kind, source, happens_at, title, body, url, currency, importance, actual,
       forecast, previous, recorded_at
  FROM market.news
 WHERE ($1::text IS NULL OR kind = $1)
   AND ($2::text IS NULL OR currency = $2)
   AND ($3::timestamptz IS NULL OR (happens_at, id) < ($3, $4))
 ORDER BY happens_at DESC, id DESC LIMIT $5;
