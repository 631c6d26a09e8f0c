-- name: take
INSERT INTO app.commit_receipts (id) VALUES ($1) ON CONFLICT DO NOTHING;

-- name: forget
DELETE FROM app.commit_receipts
 WHERE id IN (SELECT id FROM app.commit_receipts
               WHERE taken_at < now() - interval '1 day'
               ORDER BY taken_at LIMIT 16 FOR UPDATE SKIP LOCKED);
