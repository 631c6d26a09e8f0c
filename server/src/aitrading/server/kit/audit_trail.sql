-- name: insert_event
INSERT INTO audit.pending (id, occurred_at, actor, action, subject, outcome, security, trace_id,
                           details)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::text::jsonb);

-- name: insert_event_once
INSERT INTO audit.pending (id, occurred_at, actor, action, subject, outcome, security, trace_id,
                           details)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::text::jsonb)
    ON CONFLICT DO NOTHING;
