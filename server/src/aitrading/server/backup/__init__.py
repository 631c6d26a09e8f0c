"""Backup and restore: one encrypted file with everything that cannot be made again."""
