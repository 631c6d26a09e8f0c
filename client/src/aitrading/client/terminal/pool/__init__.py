"""Worker processes with one terminal connection each, and who keeps them."""
