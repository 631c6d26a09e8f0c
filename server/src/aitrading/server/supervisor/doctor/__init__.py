"""Looks for everything that keeps a platform from working; works with it up or down."""
