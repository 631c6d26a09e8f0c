"""Quote streams as a program opens them."""

import base64
import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from harness.platform import Platform

PING = b'{"type":"ping"}'


@contextmanager
def open_stream(
    platform: Platform, token: str, *headers: str, context: ssl.SSLContext | None = None
) -> Iterator[ssl.SSLSocket]:
    """A quote stream that is open, through the edge."""
    place = urlsplit(platform.url)
    context = context or platform.trust
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


def answers(stream: ssl.SSLSocket) -> bool:
    """Whether an open stream answers a ping."""
    stream.sendall(bytes([0x81, 0x80 | len(PING)]) + bytes(4) + PING)
    seen = b""
    while b'"pong"' not in seen:
        data = stream.recv(65536)
        if not data:
            return False
        seen = seen[-64:] + data
    return True
