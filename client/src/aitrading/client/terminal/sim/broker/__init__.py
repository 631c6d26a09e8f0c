"""The broker behind the simulated terminal: a pure matching engine. No clock, no I/O, no floats."""
