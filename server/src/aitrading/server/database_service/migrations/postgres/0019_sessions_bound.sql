-- A session is bound, before its first token leaves, to what its holder must show with each token
-- and each renewal: the secret of a browser's second cookie, or the key of a program. Sessions from
-- before stay as they are: plain bearer tokens of programs go on, browsers log in once more.
ALTER TABLE identity.sessions
    ADD COLUMN binding_kind text CHECK (binding_kind IN ('cookie', 'key')),
    ADD COLUMN binding text CHECK (length(binding) = 43),
    ADD CONSTRAINT sessions_bound_whole CHECK ((binding_kind IS NULL) = (binding IS NULL));

-- From which secret and request the next refresh token was made: the same request gets the same
-- one again while nobody used it, so that a lost answer is not taken for a theft.
ALTER TABLE identity.refresh_tokens
    ADD COLUMN successor_salt bytea CHECK (length(successor_salt) = 32),
    ADD COLUMN successor_hash bytea CHECK (length(successor_hash) = 32);

-- Tokens carry the epochs of their person and organisation; raising one refuses all older tokens.
ALTER TABLE identity.users
    ADD COLUMN token_epoch bigint NOT NULL DEFAULT 0,
    ADD COLUMN token_epoch_raised_at timestamptz;
ALTER TABLE identity.tenants
    ADD COLUMN token_epoch bigint NOT NULL DEFAULT 0,
    ADD COLUMN token_epoch_raised_at timestamptz;
CREATE INDEX users_epoch_raised ON identity.users (tenant_id, token_epoch_raised_at)
    WHERE token_epoch_raised_at IS NOT NULL;
