"""Configuration that the server signs for this client, kept sealed and used while it runs."""
