"""How long the platform keeps its logs, what they cost, and the job that applies it."""
