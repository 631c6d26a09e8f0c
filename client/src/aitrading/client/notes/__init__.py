"""What the client's parts tell the server beside ticks: a queue on disk, delivered exactly once."""
