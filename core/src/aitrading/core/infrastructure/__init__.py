"""The machinery every process shares: hub, configuration, errors, resilience, health, bus."""
