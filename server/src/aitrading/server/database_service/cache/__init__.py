"""The cache of last quotes: fast, optional, rebuilt by the next tick."""
