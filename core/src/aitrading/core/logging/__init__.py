"""Logs: the façade every process uses from its first line on."""
