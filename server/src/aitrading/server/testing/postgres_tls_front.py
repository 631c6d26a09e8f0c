"""TLS 1.3 for a PostgreSQL whose build has none: what a client asks for is answered here.

A client of PostgreSQL first asks in plain bytes whether the server speaks TLS. This answers yes,
shakes hands with a certificate, and passes every byte on to the server's Unix socket, unread.
"""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from aitrading.server.kit.bundle import PostgresAccess, TlsFiles

_REQUEST: Final = bytes.fromhex("0000000804d2162f")
"""The length 8, and the number by which a client asks for TLS."""
_READ_BYTES: Final = 65_536


class PostgresTlsFront:
    """In front of one server; `show` changes the certificate for whoever comes next."""

    def __init__(self, behind: PostgresAccess, files: TlsFiles) -> None:
        self._socket = f"{behind.host}/.s.PGSQL.{behind.port}"
        self._lines: set[asyncio.Task[object]] = set()
        self.port = 0
        self.spoken: set[str] = set()
        """Versions of TLS that were agreed on."""
        self.context = self._context_of(files)

    def show(self, files: TlsFiles) -> None:
        """Present another certificate from now on."""
        self.context = self._context_of(files)

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[None]:
        """Listen on a free port of the loopback interface for the time of the block."""
        server = await asyncio.start_server(self._meet, "127.0.0.1", 0)
        self.port = int(server.sockets[0].getsockname()[1])
        try:
            yield
        finally:
            server.close()
            for line in self._lines:
                line.cancel()
            if self._lines:
                await asyncio.wait(self._lines)

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = asyncio.current_task()
        if line is not None:
            self._lines.add(line)
            line.add_done_callback(self._lines.discard)
        try:
            with suppress(OSError, EOFError):
                if await reader.readexactly(len(_REQUEST)) == _REQUEST:
                    writer.write(b"S")
                    await writer.start_tls(self.context)
                    self.spoken.add(writer.get_extra_info("ssl_object").version())
                    await self._pass_on(reader, writer)
        except asyncio.CancelledError:
            pass
        finally:
            writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        above_reader, above_writer = await asyncio.open_unix_connection(self._socket)
        try:
            async with asyncio.TaskGroup() as group:
                ways = [
                    group.create_task(_copy(reader, above_writer)),
                    group.create_task(_copy(above_reader, writer)),
                ]
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for way in ways:
                    way.cancel()
        finally:
            above_writer.transport.abort()

    @staticmethod
    def _context_of(files: TlsFiles) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(files.certificate, files.private_key)
        return context


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(_READ_BYTES):
            sink.write(data)
            await sink.drain()


@asynccontextmanager
async def tls_fronts(
    servers: Sequence[PostgresAccess], files: TlsFiles
) -> AsyncGenerator[list[PostgresTlsFront]]:
    """One for each server, all with the same certificate at first."""
    async with AsyncExitStack() as stack:
        fronts = [PostgresTlsFront(server, files) for server in servers]
        for front in fronts:
            await stack.enter_async_context(front.serving())
        yield fronts


def url_of(fronts: Sequence[PostgresTlsFront], password: str, ca: Path) -> str:
    """What `POSTGRES_URL` says of them; the migrator logs in with its own password."""
    hosts = ",".join(f"localhost:{front.port}" for front in fronts)
    return f"postgresql://migrator:{password}@{hosts}/aitrading?sslrootcert={ca}"
