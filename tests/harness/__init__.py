"""Runs the real platform for tests that look at it, or hurt it, from outside."""
