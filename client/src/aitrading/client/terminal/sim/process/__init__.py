"""The twin as a process of its own: a small protocol over loopback, with a token."""
