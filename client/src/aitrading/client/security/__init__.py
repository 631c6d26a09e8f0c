"""The client's side of trust: its certificate, the pinned server, the link."""
