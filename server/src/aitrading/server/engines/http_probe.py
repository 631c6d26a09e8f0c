"""One small HTTP request and its status: enough to ask whether somebody answers."""

import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path

PROBE_TIMEOUT_S = 2.0
STATUS_LINE_PARTS = 3
LINE_LIMIT_BYTES = 65_536


@dataclass(frozen=True, kw_only=True)
class HttpTarget:
    """A Unix socket, or host and port, with or without TLS."""

    socket: Path | None = None
    host: str = ""
    port: int = 0
    tls: ssl.SSLContext | None = None
    server_name: str = "localhost"


async def http_status(target: HttpTarget, path: str) -> int | None:
    """Return the status of `GET path`; None when nobody answers in HTTP in time."""
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            reader, writer = await _connect(target)
            try:
                writer.write(_request(target, path))
                return _status(await reader.readline())
            finally:
                writer.transport.abort()
    except (OSError, TimeoutError, ValueError):
        return None


async def _connect(target: HttpTarget) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if target.socket is not None:
        return await asyncio.open_unix_connection(str(target.socket), limit=LINE_LIMIT_BYTES)
    return await asyncio.open_connection(
        target.host,
        target.port,
        ssl=target.tls,
        server_hostname=target.server_name if target.tls else None,
        limit=LINE_LIMIT_BYTES,
    )


def _request(target: HttpTarget, path: str) -> bytes:
    host = target.server_name if target.socket else f"{target.server_name}:{target.port}"
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()


def _status(line: bytes) -> int | None:
    parts = line.split(b" ", 2)
    if len(parts) < STATUS_LINE_PARTS or not parts[0].startswith(b"HTTP/"):
        return None
    return int(parts[1])
