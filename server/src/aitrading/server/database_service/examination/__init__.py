"""Asks every store step by step: connect, authenticate, write, read, delete."""
