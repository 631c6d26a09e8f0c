-- A person sees the own sessions: when each was last renewed, and from which kind of network. Which
-- network it was is kept as a digest under the organisation's key: enough to see that it is another
-- one, and nothing that leads back to an address. Sessions from before learn it as they are renewed.
ALTER TABLE identity.sessions
    ADD COLUMN used_at timestamptz,
    ADD COLUMN network_kind text CHECK (network_kind IN ('loopback', 'private', 'public')),
    ADD COLUMN network_index bytea CHECK (octet_length(network_index) = 32);
