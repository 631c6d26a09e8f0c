"""Starts the platform as child processes in one home, watches them and ends them together."""
