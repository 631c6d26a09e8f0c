-- name: hold_device
SELECT state, public_key, certificate_ends_at FROM identity.devices WHERE id = $1 FOR UPDATE;

-- name: newest_generation
SELECT COALESCE(max(generation), 0) FROM identity.credential_shares WHERE device_id = $1;

-- name: forget_unused
DELETE FROM identity.credential_shares WHERE device_id = $1 AND leased_until IS NULL;

-- name: insert_share
INSERT INTO identity.credential_shares (id, device_id, generation, share_sealed, created_at)
VALUES ($1, $2, $3, $4, $5);

-- name: lease
UPDATE identity.credential_shares SET leased_until = $3
 WHERE device_id = $1 AND id = $2
RETURNING share_sealed, generation, rotation_wanted_at;

-- name: forget_older
DELETE FROM identity.credential_shares WHERE device_id = $1 AND generation < $2;

-- name: forget_all
DELETE FROM identity.credential_shares WHERE device_id = $1
RETURNING id;

-- name: want_rotation
UPDATE identity.credential_shares SET rotation_wanted_at = COALESCE(rotation_wanted_at, $2)
 WHERE device_id = $1
RETURNING id;
