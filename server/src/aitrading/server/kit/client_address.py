"""The address that somebody has for the edge, and for nobody else's word."""

from collections.abc import Mapping


def client_address(headers: Mapping[str, str]) -> str:
    """The address as the edge saw it; empty without.

    The edge appends the real address to `x-forwarded-for`, so the last element is its own,
    whatever stood there before. Only what comes past the edge - over a Unix socket of the host, or
    with a service's certificate - has none.
    """
    return headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
