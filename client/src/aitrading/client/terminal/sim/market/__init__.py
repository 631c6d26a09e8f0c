"""Where the prices of the simulated broker come from."""
