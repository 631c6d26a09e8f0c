"""What the client costs and how fast it is, measured on real processes."""
