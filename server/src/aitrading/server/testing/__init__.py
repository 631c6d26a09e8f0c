"""What tests and benchmarks of the server are made with; nothing of the running platform imports it."""
