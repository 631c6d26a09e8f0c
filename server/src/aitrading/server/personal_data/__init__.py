"""Personal data of every service: which columns hold it, and the keys that seal it."""
