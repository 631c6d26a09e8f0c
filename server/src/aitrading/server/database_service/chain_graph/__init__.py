"""Chains as a graph: what is lost when a part fails."""
