"""A small edge for tests: TLS 1.3, device certificates, one upstream socket, and a hand on the wire.

It does what Envoy does for the link - demand a device certificate, vouch for it in a header - and
can cut connections after any number of bytes, which Envoy cannot.
"""

import asyncio
import contextlib
import hashlib
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Self

from aitrading.core.security.crypto import inspect_certificate
from aitrading.server.authority.installation import Authority

CHUNK = 16 * 1024


class Edge:
    """Accepts devices on a loopback port and forwards them to the bridge's socket."""

    def __init__(self, authority: Authority, upstream: Path, folder: Path) -> None:
        self.upstream = upstream
        self.port = 0
        self.connections = 0
        self.cut_after: Callable[[], int | None] = lambda: None
        """Bytes from the device after which the next connection is cut; None never cuts."""
        self._authority = authority
        self._folder = folder
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, ssl=self._context()
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        self.cut_all()
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))

    def cut_all(self) -> None:
        """End every connection without a word."""
        for writer in tuple(self._writers):
            writer.transport.abort()

    def _context(self) -> ssl.SSLContext:
        edge = self._authority.issue_edge(("localhost", "link.localhost"))
        leaf, key, devices = (self._folder / name for name in ("leaf", "key", "devices"))
        leaf.write_bytes(edge.certificate_pem)
        key.write_bytes(edge.private_key_pem.reveal())
        devices.write_bytes(self._authority.device.certificate_pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(leaf, key)
        context.load_verify_locations(devices)
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        self.connections += 1
        try:
            await self._forward(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()
            self._writers.discard(writer)
            self._tasks.discard(task)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        up_reader, up_writer = await asyncio.open_unix_connection(str(self.upstream))
        up_writer.write(head[:-2] + self._vouch(writer) + b"\r\n\r\n")
        try:
            async with asyncio.TaskGroup() as pipes:
                up = pipes.create_task(_pipe(reader, up_writer, self.cut_after()))
                down = pipes.create_task(_pipe(up_reader, writer, None))
                up.add_done_callback(lambda _: down.cancel())
                down.add_done_callback(lambda _: up.cancel())
        finally:
            up_writer.transport.abort()

    def _vouch(self, writer: asyncio.StreamWriter) -> bytes:
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        uri = inspect_certificate(der).uris[0]
        fingerprint = hashlib.sha256(der).hexdigest()
        return f"x-forwarded-client-cert: Hash={fingerprint};URI={uri}\r\n".encode()[:-2]


async def _pipe(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, budget: int | None
) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK):
            if budget is not None:
                if len(data) >= budget:
                    writer.write(data[:budget])
                    return
                budget -= len(data)
            writer.write(data)
            await writer.drain()
