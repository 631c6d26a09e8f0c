"""The demo: two organisations, their people and one simulated terminal, made through the APIs."""
