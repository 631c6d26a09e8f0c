"""The terminal beside the client: one port, one adapter per kind of terminal."""
