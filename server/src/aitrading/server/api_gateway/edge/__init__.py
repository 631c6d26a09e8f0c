"""The edge as data: pure functions from an `EdgeConfig` to Envoy's resources, and their writer."""
