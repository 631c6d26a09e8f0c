"""What an organisation used, by day: for whoever bills it and whoever pays."""
