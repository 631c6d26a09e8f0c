"""One small HTTP request and its status: enough to ask whether somebody answers."""

import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path

PROBE_TIMEOUT_S = 2.0
STATUS_LINE_PARTS = 3
LINE_LIMIT_BYTES = 65_536
BODY_LIMIT_BYTES = 4 << 20


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


async def http_body(target: HttpTarget, path: str) -> bytes | None:
    """Return the whole body of `GET path`; None when nobody answers in HTTP in time."""
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            reader, writer = await _connect(target)
            try:
                writer.write(_request(target, path))
                head, separator, body = (await _to_end(reader)).partition(b"\r\n\r\n")
            finally:
                writer.transport.abort()
    except (OSError, TimeoutError, ValueError):
        return None
    return body if separator and _status(head.partition(b"\r\n")[0]) is not None else None


async def _to_end(reader: asyncio.StreamReader) -> bytes:
    """Everything until it closes, for it was asked to; raises ValueError beyond the limit."""
    said = bytearray()
    while chunk := await reader.read(LINE_LIMIT_BYTES):
        said += chunk
        if len(said) > BODY_LIMIT_BYTES:
            raise ValueError(f"an answer of more than {BODY_LIMIT_BYTES} bytes")
    return bytes(said)


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
