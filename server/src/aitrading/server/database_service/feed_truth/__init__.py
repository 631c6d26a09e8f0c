"""Gaps of streams, their repair, and certificates of complete days."""
