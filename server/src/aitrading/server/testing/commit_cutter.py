"""Stands between a pool and PostgreSQL and cuts the line while a transaction is being committed."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from enum import StrEnum
from typing import Final

import msgspec

from aitrading.server.kit.bundle import PostgresAccess
from aitrading.server.testing.engines import socket_folder

_COMMIT: Final = b"COMMIT\0"
_READ_BYTES: Final = 65_536


class Cut(StrEnum):
    """When the line breaks."""

    BEFORE = "the server never hears of the commit"
    AFTER = "the server has committed, its answer is lost"


class CommitCutter:
    """Passes everything on until it is told to cut; each cut happens once."""

    def __init__(self, server: str, socket: str) -> None:
        self._server = server
        self._socket = socket
        self.cuts: list[Cut] = []
        self.spared = 0
        """How many commits pass before the next cut."""
        self.seen = 0
        """Commits that passed, or were cut."""
        self._lines: set[asyncio.Task[object]] = set()

    async def serve(self) -> asyncio.Server:
        """Answer in the server's place."""
        return await asyncio.start_unix_server(self._pass_on, self._socket)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = asyncio.current_task()
        if line is not None:
            self._lines.add(line)
            line.add_done_callback(self._lines.discard)
        above_reader, above_writer = await asyncio.open_unix_connection(self._server)
        answers = asyncio.ensure_future(_copy(above_reader, writer))
        try:
            while chunk := await reader.read(_READ_BYTES):
                if _COMMIT in chunk and self._is_next():
                    await self._cut(chunk, answers, above_reader, above_writer)
                    break
                above_writer.write(chunk)
                await above_writer.drain()
        except ConnectionError:
            pass
        finally:
            answers.cancel()
            await asyncio.wait([answers])
            for each in (above_writer, writer):
                each.transport.abort()
            await asyncio.sleep(0)

    def _is_next(self) -> bool:
        self.seen += 1
        if not self.cuts:
            return False
        if self.spared:
            self.spared -= 1
            return False
        return True

    async def _cut(
        self,
        commit: bytes,
        answers: asyncio.Future[None],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        answers.cancel()
        await asyncio.wait([answers])
        if self.cuts.pop(0) is Cut.AFTER:
            writer.write(commit)
            await reader.read(1)

    async def ended(self) -> None:
        """Wait until every line is closed."""
        while self._lines:
            await asyncio.wait(self._lines, timeout=1.0)


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Until the source ends, or breaks; either way the target hears of it.

    Who is told to stop leaves that to the cutter: nobody may hear of a cut before it is done.
    """
    with suppress(ConnectionError):
        while chunk := await source.read(_READ_BYTES):
            target.write(chunk)
            await target.drain()
    target.close()


@asynccontextmanager
async def cutting(
    access: PostgresAccess,
) -> AsyncGenerator[tuple[CommitCutter, PostgresAccess]]:
    """A cutter in front of a server that is reached over a Unix socket."""
    with socket_folder() as folder:
        name = f".s.PGSQL.{access.port}"
        cutter = CommitCutter(f"{access.host}/{name}", str(folder / name))
        server = await cutter.serve()
        try:
            yield cutter, msgspec.structs.replace(access, host=str(folder))
        finally:
            server.close()
            await cutter.ended()
