"""What people are entitled to, for the services that ask."""
