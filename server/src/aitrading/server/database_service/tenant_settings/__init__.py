"""What one organisation was granted beside the settings of everybody: create, read, update, delete."""
