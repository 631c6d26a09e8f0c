"""Watches prices that pass through the client, and tells when a rule is broken."""
