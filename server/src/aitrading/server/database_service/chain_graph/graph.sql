-- name: save_definition
INSERT INTO chains.chain_definitions (name, origin, description, definition)
VALUES ($1, $2, $3, $4::text::jsonb)
ON CONFLICT (name) DO UPDATE SET origin = excluded.origin, description = excluded.description,
                                 definition = excluded.definition, updated_at = now()

-- name: forget_edges
DELETE FROM chains.chain_edges WHERE chain = $1

-- name: save_edge
INSERT INTO chains.chain_edges (chain, source, target, kind) VALUES ($1, $2, $3, $4)

-- name: remove
DELETE FROM chains.chain_definitions WHERE name = $1

-- name: chains
SELECT origin, definition::text AS definition FROM chains.chain_definitions ORDER BY name

-- name: nodes
SELECT source AS node FROM chains.chain_edges UNION SELECT target FROM chains.chain_edges
 ORDER BY node

-- name: impact
-- UNION keeps each (node, distance) once, so a cycle ends at the depth limit and ways are never
-- enumerated; CYCLE would follow every way, and their number grows exponentially.
WITH RECURSIVE lost (node, distance) AS (
    SELECT e.target, 1 FROM chains.chain_edges e WHERE e.source = $1
    UNION
    SELECT e.target, lost.distance + 1
      FROM lost JOIN chains.chain_edges e ON e.source = lost.node
     WHERE lost.distance < $2
)
SELECT node, min(distance) AS distance FROM lost
 WHERE node <> $1 GROUP BY node ORDER BY distance, node

-- name: path
WITH RECURSIVE lost (node, distance) AS (
    SELECT $1::text, 0
    UNION
    SELECT e.target, lost.distance + 1
      FROM lost JOIN chains.chain_edges e ON e.source = lost.node
     WHERE lost.distance < $2
), level AS (
    SELECT node, min(distance) AS distance FROM lost GROUP BY node
), way (node, distance) AS (
    SELECT node, distance FROM level WHERE node = $3
    UNION ALL
    SELECT before.node, before.distance FROM way
      CROSS JOIN LATERAL (
        SELECT level.node, level.distance
          FROM chains.chain_edges e JOIN level ON level.node = e.source
         WHERE e.target = way.node AND level.distance = way.distance - 1
         ORDER BY level.node LIMIT 1) AS before
)
SELECT node FROM way ORDER BY distance

-- name: bottlenecks
WITH RECURSIVE lost (part, node) AS (
    SELECT source, target FROM chains.chain_edges WHERE chain = $1 AND kind <> 'feeds'
    UNION
    SELECT lost.part, e.target
      FROM lost JOIN chains.chain_edges e ON e.source = lost.node AND e.chain = $1
)
SELECT part, count(DISTINCT node) AS hops_lost FROM lost
 GROUP BY part ORDER BY hops_lost DESC, part
