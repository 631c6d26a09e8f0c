"""The client's own page, on the loopback interface: how it is, for the person beside it."""
