"""The database service: migrations, the tick store, its readers, and the cache of last quotes."""
