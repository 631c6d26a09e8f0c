"""Takes ticks from a terminal, keeps them on disk until the server has them, sends them."""
