"""Alerts and news that installed clients tell: stored once each, read page by page."""
