"""What travels and what lies on disk: formats as pure functions and state machines, no I/O."""
