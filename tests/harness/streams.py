"""Quote streams as a program opens them."""

import base64
import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from harness.platform import Platform


@contextmanager
def open_stream(platform: Platform, token: str, *headers: str) -> Iterator[ssl.SSLSocket]:
    """A quote stream that is open, through the edge."""
    place = urlsplit(platform.url)
    context = ssl.create_default_context(cafile=platform.home / "trust/edge-ca.pem")
    raw = socket.create_connection((place.hostname, place.port), timeout=30)
    with context.wrap_socket(raw, server_hostname=place.hostname) as tls:
        key = base64.b64encode(os.urandom(16)).decode()
        lines = (
            "GET /api/v1/stream HTTP/1.1",
            f"host: {place.netloc}",
            "connection: Upgrade",
            "upgrade: websocket",
            "sec-websocket-version: 13",
            f"sec-websocket-key: {key}",
            f"authorization: Bearer {token}",
            *headers,
        )
        tls.sendall("\r\n".join([*lines, "", ""]).encode())
        assert tls.recv(4096).startswith(b"HTTP/1.1 101")
        yield tls
