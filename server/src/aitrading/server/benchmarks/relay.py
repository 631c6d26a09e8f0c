"""A wire that can be cut: passes bytes on between a client and the edge."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

CHUNK: Final = 1 << 16


class Relay:
    """Listens on a port of its own and connects each caller to the edge."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self.connections = 0
        self._target = target
        self._writers: set[asyncio.StreamWriter] = set()
        self._ended = asyncio.Event()
        self._ended.set()

    def cut(self) -> None:
        """End every connection at once, in the middle of whatever is on it."""
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One caller, until one side ends."""
        self.connections += 1
        self._ended.clear()
        there_reader, there = await asyncio.open_connection("127.0.0.1", self._target)
        both = {writer, there}
        self._writers |= both
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_pass_on(reader, there))
                group.create_task(_pass_on(there_reader, writer))
        finally:
            self._writers -= both
            if not self._writers:
                self._ended.set()

    async def ended(self) -> None:
        """Return when nobody is connected any more."""
        await self._ended.wait()


@asynccontextmanager
async def relay_to(port: int) -> AsyncGenerator[Relay]:
    """A relay that listens, for the time of the block."""
    relay = Relay(port)
    server = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
    relay.port = server.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        server.close()
        relay.cut()
        await relay.ended()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()
