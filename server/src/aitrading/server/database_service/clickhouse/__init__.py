"""ClickHouse: a port, the engine embedded in this process, and a server reached by URL."""
