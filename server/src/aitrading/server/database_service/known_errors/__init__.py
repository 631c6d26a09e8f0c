"""Errors that were seen, what is like them, and what solved them."""
