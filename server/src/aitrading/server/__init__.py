"""aitrading server."""
