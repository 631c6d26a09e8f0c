"""Who is connected, by name; and ending a connection."""
