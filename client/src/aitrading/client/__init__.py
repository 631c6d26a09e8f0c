"""aitrading client."""
