"""The embedded engines: real servers from wheels, started and secured by us."""
