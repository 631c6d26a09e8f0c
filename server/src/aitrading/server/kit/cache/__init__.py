"""The cache as typed operations; `port.py` is what services use, the rest carries it out."""
