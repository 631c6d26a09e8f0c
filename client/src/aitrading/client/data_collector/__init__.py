"""Collects what the feed does not carry: news and the economic calendar, from files and addresses."""
