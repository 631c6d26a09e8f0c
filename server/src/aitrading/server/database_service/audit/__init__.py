"""The audit trail for people who may read it: an organisation's own, and nobody else's."""
