"""What every service of the server shares: bundle, HTTP, bus, tenancy."""
