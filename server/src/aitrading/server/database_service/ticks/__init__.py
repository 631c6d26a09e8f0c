"""Ticks: from a sealed segment to the store exactly once, and from the store to a reader."""
