-- name: write
WITH points AS (
    INSERT INTO app.metric_points (series, part, at_s, amount, reached)
    SELECT series, part, $1, amount, reached
      FROM unnest($2::bigint[], $3::smallint[], $4::float8[], $5::float8[])
           AS new (series, part, amount, reached)
        ON CONFLICT DO NOTHING
    RETURNING series, part, at_s, amount, reached
), five_minutes AS (
    INSERT INTO app.metric_points_5m AS old
           (series, part, begins_s, samples, total, low, high, last, last_at_s)
    SELECT series, part, at_s / 300 * 300, 1, amount, amount, amount, reached, at_s FROM points
        ON CONFLICT (series, part, begins_s) DO UPDATE
       SET samples = old.samples + 1, total = old.total + excluded.total,
           low = least(old.low, excluded.low), high = greatest(old.high, excluded.high),
           last = CASE WHEN excluded.last_at_s >= old.last_at_s THEN excluded.last ELSE old.last END,
           last_at_s = greatest(old.last_at_s, excluded.last_at_s)
)
INSERT INTO app.metric_points_1h AS old
       (series, part, begins_s, samples, total, low, high, last, last_at_s)
SELECT series, part, at_s / 3600 * 3600, 1, amount, amount, amount, reached, at_s FROM points
    ON CONFLICT (series, part, begins_s) DO UPDATE
   SET samples = old.samples + 1, total = old.total + excluded.total,
       low = least(old.low, excluded.low), high = greatest(old.high, excluded.high),
       last = CASE WHEN excluded.last_at_s >= old.last_at_s THEN excluded.last ELSE old.last END,
       last_at_s = greatest(old.last_at_s, excluded.last_at_s)

-- name: holds
SELECT EXISTS (SELECT FROM app.metric_points WHERE series = $1 AND at_s = $2)

-- name: reached
SELECT DISTINCT ON (series, part) series, part, last_at_s AS at_s, last AS value
  FROM app.metric_points_1h
 WHERE begins_s >= $1 - 3600 AND last_at_s >= $1
 ORDER BY series, part, begins_s DESC

-- name: steps_of_samples
SELECT series, part, at_s / $4::bigint * $4 AS begins_s, count(*) AS samples, sum(amount) AS total,
       min(amount) AS low, max(amount) AS high, (array_agg(reached ORDER BY at_s DESC))[1] AS last
  FROM app.metric_points
 WHERE series = ANY ($1::bigint[]) AND at_s >= $2 AND at_s < $3
 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 LIMIT $5

-- name: steps_of_five_minutes
SELECT series, part, begins_s / $4::bigint * $4 AS begins_s, sum(samples) AS samples,
       sum(total) AS total, min(low) AS low, max(high) AS high,
       (array_agg(last ORDER BY last_at_s DESC))[1] AS last
  FROM app.metric_points_5m
 WHERE series = ANY ($1::bigint[]) AND begins_s >= $2 AND begins_s < $3
 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 LIMIT $5

-- name: steps_of_hours
SELECT series, part, begins_s / $4::bigint * $4 AS begins_s, sum(samples) AS samples,
       sum(total) AS total, min(low) AS low, max(high) AS high,
       (array_agg(last ORDER BY last_at_s DESC))[1] AS last
  FROM app.metric_points_1h
 WHERE series = ANY ($1::bigint[]) AND begins_s >= $2 AND begins_s < $3
 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 LIMIT $5

-- name: forget_samples
DELETE FROM app.metric_points WHERE at_s < $1

-- name: forget_five_minutes
DELETE FROM app.metric_points_5m WHERE begins_s < $1

-- name: forget_hours
DELETE FROM app.metric_points_1h WHERE begins_s < $1
