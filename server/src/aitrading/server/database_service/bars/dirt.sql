-- name: read
SELECT id, stream_id, from_s, until_s FROM market.bar_dirt ORDER BY id LIMIT $1

-- name: of_streams
SELECT from_s, until_s FROM market.bar_dirt WHERE stream_id = ANY ($1)

-- name: clean
DELETE FROM market.bar_dirt WHERE id = ANY ($1)

-- name: tenants
SELECT id FROM identity.tenants

-- name: sources
SELECT s.id, s.symbol, s.digits, s.device_id, s.broker, s.epoch
  FROM market.streams s
  JOIN market.tick_marks m ON m.tenant_id = s.tenant_id AND m.stream_id = s.id
 WHERE s.symbol = $1 AND ($2::uuid IS NULL OR s.device_id = $2)
 ORDER BY s.epoch, s.id
