"""Traces of requests: collected from every process, kept where they are worth it, read again."""
