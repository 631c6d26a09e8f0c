"""Mechanisms and contracts shared by the server and the client."""
