-- name: write
INSERT INTO app.metric_points (at_s, series, part, amount, reached)
VALUES ($1, $2::bigint[], $3::smallint[], $4::float8[], $5::float8[])
    ON CONFLICT DO NOTHING

-- name: roll_up_five_minutes
INSERT INTO app.metric_points_5m
       (begins_s, series, part, samples, total, low, high, last, last_at_s)
SELECT begins_s, array_agg(series ORDER BY series, part), array_agg(part ORDER BY series, part),
       array_agg(samples ORDER BY series, part), array_agg(total ORDER BY series, part),
       array_agg(low ORDER BY series, part), array_agg(high ORDER BY series, part),
       array_agg(last ORDER BY series, part), array_agg(last_at_s ORDER BY series, part)
  FROM (SELECT m.at_s / 300 * 300 AS begins_s, p.series, p.part, count(*) AS samples,
               sum(p.amount) AS total, min(p.amount) AS low, max(p.amount) AS high,
               (array_agg(p.reached ORDER BY m.at_s DESC))[1] AS last, max(m.at_s) AS last_at_s
          FROM app.metric_points m, unnest(m.series, m.part, m.amount, m.reached)
               AS p (series, part, amount, reached)
         WHERE m.at_s >= (SELECT coalesce(max(begins_s) + 300, 0) FROM app.metric_points_5m)
           AND m.at_s < $1::bigint / 300 * 300
         GROUP BY 1, 2, 3) AS steps
 GROUP BY begins_s
    ON CONFLICT DO NOTHING

-- name: roll_up_hours
INSERT INTO app.metric_points_1h
       (begins_s, series, part, samples, total, low, high, last, last_at_s)
SELECT begins_s, array_agg(series ORDER BY series, part), array_agg(part ORDER BY series, part),
       array_agg(samples ORDER BY series, part), array_agg(total ORDER BY series, part),
       array_agg(low ORDER BY series, part), array_agg(high ORDER BY series, part),
       array_agg(last ORDER BY series, part), array_agg(last_at_s ORDER BY series, part)
  FROM (SELECT m.begins_s / 3600 * 3600 AS begins_s, p.series, p.part,
               sum(p.samples)::bigint AS samples, sum(p.total) AS total, min(p.low) AS low,
               max(p.high) AS high, (array_agg(p.last ORDER BY p.last_at_s DESC))[1] AS last,
               max(p.last_at_s) AS last_at_s
          FROM app.metric_points_5m m,
               unnest(m.series, m.part, m.samples, m.total, m.low, m.high, m.last, m.last_at_s)
               AS p (series, part, samples, total, low, high, last, last_at_s)
         WHERE m.begins_s >= (SELECT coalesce(max(begins_s) + 3600, 0) FROM app.metric_points_1h)
           AND m.begins_s < $1::bigint / 3600 * 3600
         GROUP BY 1, 2, 3) AS steps
 GROUP BY begins_s
    ON CONFLICT DO NOTHING

-- name: holds
SELECT EXISTS (SELECT FROM app.metric_points WHERE at_s = $2 AND $1 = ANY (series))

-- name: reached
SELECT DISTINCT ON (series, part) series, part, at_s, value
  FROM (SELECT p.series, p.part, p.last_at_s AS at_s, p.last AS value
          FROM app.metric_points_1h m, unnest(m.series, m.part, m.last, m.last_at_s)
               AS p (series, part, last, last_at_s)
         WHERE m.begins_s > $1 - 3600
        UNION ALL
        SELECT p.series, p.part, m.at_s, p.reached
          FROM app.metric_points m, unnest(m.series, m.part, m.reached)
               AS p (series, part, reached)
         WHERE m.at_s >= (SELECT coalesce(max(begins_s) + 3600, 0) FROM app.metric_points_1h)
       ) AS every
 WHERE at_s >= $1
 ORDER BY series, part, at_s DESC

-- Steps are picked out of the rows by the place of their series. `|| '{}'` unpacks a compressed array
-- once, and OFFSET 0 keeps the planner from unpacking it again for every element.

-- name: steps_of_samples
SELECT series, part, at_s / $4::bigint * $4 AS begins_s, count(*) AS samples, sum(amount) AS total,
       min(amount) AS low, max(amount) AS high, (array_agg(reached ORDER BY at_s DESC))[1] AS last
  FROM (SELECT w.series, m.at_s, m.part[i] AS part, m.amount[i] AS amount, m.reached[i] AS reached
          FROM (SELECT at_s, series || '{}' AS series, part || '{}' AS part,
                       amount || '{}' AS amount, reached || '{}' AS reached
                  FROM app.metric_points WHERE at_s >= $2 AND at_s < $3 OFFSET 0) AS m,
               unnest($1::bigint[]) AS w (series), unnest(array_positions(m.series, w.series)) AS i
       ) AS points
 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 LIMIT $5

-- name: steps_of_five_minutes
SELECT series, part, begins_s / $4::bigint * $4 AS begins_s, sum(samples) AS samples,
       sum(total) AS total, min(low) AS low, max(high) AS high,
       (array_agg(last ORDER BY last_at_s DESC))[1] AS last
  FROM (SELECT w.series, m.begins_s, m.part[i] AS part, m.samples[i] AS samples,
               m.total[i] AS total, m.low[i] AS low, m.high[i] AS high, m.last[i] AS last,
               m.last_at_s[i] AS last_at_s
          FROM (SELECT begins_s, series || '{}' AS series, part || '{}' AS part,
                       samples || '{}' AS samples, total || '{}' AS total, low || '{}' AS low,
                       high || '{}' AS high, last || '{}' AS last, last_at_s || '{}' AS last_at_s
                  FROM app.metric_points_5m WHERE begins_s >= $2 AND begins_s < $3 OFFSET 0) AS m,
               unnest($1::bigint[]) AS w (series), unnest(array_positions(m.series, w.series)) AS i
        UNION ALL
        SELECT w.series, m.at_s, m.part[i], 1, m.amount[i], m.amount[i], m.amount[i], m.reached[i],
               m.at_s
          FROM app.metric_points AS m, unnest($1::bigint[]) AS w (series),
               unnest(array_positions(m.series, w.series)) AS i
         WHERE m.at_s >= (SELECT coalesce(max(begins_s) + 300, 0) FROM app.metric_points_5m)
           AND m.at_s >= $2 AND m.at_s < $3
       ) AS steps
 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 LIMIT $5

-- name: steps_of_hours
SELECT series, part, begins_s / $4::bigint * $4 AS begins_s, sum(samples) AS samples,
       sum(total) AS total, min(low) AS low, max(high) AS high,
       (array_agg(last ORDER BY last_at_s DESC))[1] AS last
  FROM (SELECT w.series, m.begins_s, m.part[i] AS part, m.samples[i] AS samples,
               m.total[i] AS total, m.low[i] AS low, m.high[i] AS high, m.last[i] AS last,
               m.last_at_s[i] AS last_at_s
          FROM (SELECT begins_s, series || '{}' AS series, part || '{}' AS part,
                       samples || '{}' AS samples, total || '{}' AS total, low || '{}' AS low,
                       high || '{}' AS high, last || '{}' AS last, last_at_s || '{}' AS last_at_s
                  FROM app.metric_points_1h WHERE begins_s >= $2 AND begins_s < $3 OFFSET 0) AS m,
               unnest($1::bigint[]) AS w (series), unnest(array_positions(m.series, w.series)) AS i
        UNION ALL
        SELECT w.series, m.begins_s, m.part[i], m.samples[i], m.total[i], m.low[i], m.high[i],
               m.last[i], m.last_at_s[i]
          FROM app.metric_points_5m AS m, unnest($1::bigint[]) AS w (series),
               unnest(array_positions(m.series, w.series)) AS i
         WHERE m.begins_s >= (SELECT coalesce(max(begins_s) + 3600, 0) FROM app.metric_points_1h)
           AND m.begins_s >= $2 AND m.begins_s < $3
        UNION ALL
        SELECT w.series, m.at_s, m.part[i], 1, m.amount[i], m.amount[i], m.amount[i], m.reached[i],
               m.at_s
          FROM app.metric_points AS m, unnest($1::bigint[]) AS w (series),
               unnest(array_positions(m.series, w.series)) AS i
         WHERE m.at_s >= (SELECT coalesce(max(begins_s) + 300, 0) FROM app.metric_points_5m)
           AND m.at_s >= $2 AND m.at_s < $3
       ) AS steps
 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 LIMIT $5

-- name: forget_samples
DELETE FROM app.metric_points WHERE at_s < $1

-- name: forget_five_minutes
DELETE FROM app.metric_points_5m WHERE begins_s < $1

-- name: forget_hours
DELETE FROM app.metric_points_1h WHERE begins_s < $1
