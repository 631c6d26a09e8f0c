"""Who may use the platform: login, sessions, devices, and their administration."""
