-- name: has_pgvector
SELECT EXISTS (SELECT FROM pg_catalog.pg_extension e
                 JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
                WHERE e.extname = 'vector' AND n.nspname = 'extensions')

-- name: put
INSERT INTO errors.vectors (fingerprint, embedding) VALUES ($1, $2)
ON CONFLICT (tenant_id, fingerprint) DO UPDATE SET embedding = excluded.embedding

-- name: remove
DELETE FROM errors.vectors WHERE fingerprint = ANY ($1)

-- name: nearest_pgvector
SELECT fingerprint,
       1 - (embedding::extensions.vector OPERATOR(extensions.<=>) $1::real[]::extensions.vector)
           AS similarity
  FROM errors.vectors
 ORDER BY similarity DESC, fingerprint LIMIT $2

-- name: nearest_sql
SELECT v.fingerprint,
       (SELECT sum(a.x::float8 * b.x) FROM unnest(v.embedding) WITH ORDINALITY AS a (x, place)
          JOIN unnest($1::real[]) WITH ORDINALITY AS b (x, place) USING (place)) AS similarity
  FROM errors.vectors v
 ORDER BY similarity DESC, fingerprint LIMIT $2
