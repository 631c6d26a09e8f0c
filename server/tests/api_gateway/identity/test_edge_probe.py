"""Whether a key passed the edge is told by the service behind it, and by nothing else."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from aitrading.core.testing.async_test import async_test
from aitrading.server.api_gateway.identity.token_keys import EdgeProbe
from aitrading.server.supervisor.ports import free_port
from aitrading.server.testing.engines import ThrowawayAuthority

BEHIND = '{"error": {"code": "LOGIN_REFUSED"}}'


@asynccontextmanager
async def edge(folder: Path, answer: bytes) -> AsyncIterator[EdgeProbe]:
    files = ThrowawayAuthority(folder).issue("edge")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.certificate, files.private_key)

    async def told(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for part in answer.partition(b"\r\n\r\n"):
            writer.write(part)
            await writer.drain()
        writer.close()

    port = free_port()
    async with await asyncio.start_server(told, "127.0.0.1", port, ssl=context):
        yield EdgeProbe("localhost", port, files.ca)


@pytest.mark.parametrize(
    ("status", "body", "accepted"),
    [
        (401, BEHIND, True),
        (401, BEHIND.replace("LOGIN", "TOKEN"), False),
        (429, '{"error": {"code": "EDGE_RATE_LIMITED"}}', False),
        (404, '{"error": {"code": "EDGE_UNKNOWN_HOST"}}', False),
        (503, '{"error": {"code": "EDGE_UPSTREAM_UNAVAILABLE"}}', False),
        (200, "", False),
    ],
)
def test_only_the_service_behind_the_edge_tells(
    tmp_path: Path, status: int, body: str, *, accepted: bool
) -> None:
    @async_test
    async def scenario() -> None:
        head = f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\n\r\n"
        async with edge(tmp_path, (head + body).encode()) as probe:
            assert await probe.accepts("a.b.c") is accepted

    scenario()


@async_test
async def test_nobody_there_accepts_nothing(tmp_path: Path) -> None:
    files = ThrowawayAuthority(tmp_path).issue("edge")
    assert not await EdgeProbe("localhost", free_port(), files.ca).accepts("a.b.c")
