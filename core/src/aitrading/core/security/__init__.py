"""Keys, certificates and tokens as both sides of the wire see them; authority lives in the server."""
