"""Connections that are kept: a stack of idle ones, a queue of who waits, and nothing in between.

Taking and giving back cost no task and no round trip. Whoever gives a connection back says whether
its transaction is over; a connection of which that is not known is ended and never used again.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
from typing_extensions import override

from aitrading.core.kit.errors import AitradingError
from aitrading.server.kit.database_errors import (
    DATABASE_CLOSED,
    DATABASE_CONNECTION_LOST,
    DATABASE_POOL_EXHAUSTED,
)
from aitrading.server.kit.postgres_mapping import CONNECTION_FAULTS, mapped_errors

IDLE_LIFE_S: Final = 300.0
"""A connection above the least number that nobody needed for so long is ended."""
LIFE_S: Final = 300.0
"""A connection is made anew after so long: whoever is reached then has to prove again who it is."""
Connect = Callable[[], Awaitable[Any]]
Observe = Callable[[float], None]


class PlainConnection(asyncpg.Connection):
    """Nothing has to be reset between two users: whatever they set ended with a transaction."""

    _warned: str | None = None

    @override
    def get_reset_query(self) -> str:
        return ""

    @override
    def _process_log_message(self, fields: dict[str, str], last_query: str) -> None:
        self._warned = fields.get("C")
        super()._process_log_message(fields, last_query)

    def take_warning(self) -> str | None:
        """The code of the server's last warning since this was asked."""
        warned, self._warned = self._warned, None
        return warned


@dataclass(frozen=True, kw_only=True)
class Occupation:
    """How full a pool is, and what was counted since it was opened."""

    size: int
    idle: int
    waiting: int
    timeouts: int

    @property
    def in_use(self) -> int:
        """Connections that somebody has, or that are being opened for somebody."""
        return self.size - self.idle


class ConnectionPool:
    """At most `limit` connections of one kind; belongs to one event loop.

    The last one given back is the first one taken, so that the rest may fall idle. Who waits is
    served in order.
    """

    def __init__(
        self, connect: Connect, *, least: int, limit: int, observe: Observe = lambda _: None
    ) -> None:
        self._connect = connect
        self._least = least
        self._limit = limit
        self._observe = observe
        self._idle: deque[tuple[Any, float]] = deque()
        self._open: dict[Any, tuple[int, float]] = {}
        """Every open connection, the generation it belongs to, and since when it is open."""
        self._generation = 0
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._size = self._timeouts = 0
        self._closed = False
        self._emptied = asyncio.Event()

    async def open(self) -> None:
        """Open the least number of connections."""
        with mapped_errors():
            while self._size < self._least:
                self.release(await self._open_one())

    async def acquire(self, timeout_s: float) -> Any:
        """A connection.

        Raises `DATABASE_POOL_EXHAUSTED`, `DATABASE_CONNECTION_LOST`, `DATABASE_CLOSED`, or what
        `connect` says of the server.
        """
        now_s = asyncio.get_running_loop().time
        began_s = now_s()
        while self._idle:
            connection, _ = self._idle.pop()
            if not connection.is_closed():
                self._observe(now_s() - began_s)
                return connection
            self._forget(connection)
        try:
            with mapped_errors():
                async with asyncio.timeout(timeout_s):
                    return await self._open_or_wait()
        except AitradingError as exc:
            if isinstance(exc.__cause__, TimeoutError):
                raise self._late(timeout_s) from exc
            raise
        finally:
            self._observe(now_s() - began_s)

    def release(self, connection: Any, *, clean: bool = True) -> None:
        """Give a connection back; one that is not `clean` is ended, and its place is free."""
        now_s = asyncio.get_running_loop().time()
        generation, since_s = self._open[connection]
        is_fresh = generation == self._generation and now_s - since_s < LIFE_S
        if not clean or not is_fresh or self._closed or connection.is_closed():
            self._forget(connection)
            return
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        self._idle.append((connection, now_s))
        oldest, since_s = self._idle[0]
        if self._size > self._least and now_s - since_s > IDLE_LIFE_S:
            self._idle.popleft()
            self._forget(oldest)

    def expire(self) -> None:
        """Use none of the present connections again; those in use end when they come back."""
        self._generation += 1
        while self._idle:
            self._forget(self._idle.pop()[0])

    async def close(self, timeout_s: float) -> None:
        """Refuse who waits, end what is idle, and wait for the rest to come back and end.

        What does not come back in time is cut off.
        """
        self._closed = True
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(_closed())
        while self._idle:
            connection, _ = self._idle.pop()
            with suppress(asyncpg.PostgresError, *CONNECTION_FAULTS):
                await connection.close(timeout=timeout_s)
            self._forget(connection)
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._size:
                    self._emptied.clear()
                    await self._emptied.wait()
        for connection in self._open:
            connection.terminate()

    def occupation(self) -> Occupation:
        """Numbers for health and metrics."""
        return Occupation(
            size=self._size,
            idle=len(self._idle),
            waiting=sum(not waiter.done() for waiter in self._waiting),
            timeouts=self._timeouts,
        )

    async def _open_or_wait(self) -> Any:
        """Whoever waits gets a connection, or None for a place in which to open one."""
        while True:
            if self._closed:
                raise _closed()
            if self._size < self._limit:
                return await self._open_one()
            waiter: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            try:
                given = await waiter
            except asyncio.CancelledError:
                self._stop_waiting(waiter)
                raise
            if given is not None:
                return given

    def _late(self, timeout_s: float) -> AitradingError:
        """All connections busy, or a server that does not answer a new one."""
        self._timeouts += 1
        if self._size < self._limit:
            return DATABASE_CONNECTION_LOST.error(reason="no answer to a new connection")
        return DATABASE_POOL_EXHAUSTED.error(waited_s=timeout_s, size=self._size)

    def _stop_waiting(self, waiter: "asyncio.Future[Any]") -> None:
        """What was given to somebody who does not wait any more goes to the next."""
        with suppress(ValueError):
            self._waiting.remove(waiter)
        if waiter.cancelled() or waiter.exception() is not None:
            return
        given = waiter.result()
        if given is None:
            self._wake_one()
        else:
            self.release(given)

    async def _open_one(self) -> Any:
        self._size += 1
        try:
            connection = await self._connect()
        except BaseException:
            self._free_place()
            raise
        self._open[connection] = self._generation, asyncio.get_running_loop().time()
        return connection

    def _forget(self, connection: Any) -> None:
        del self._open[connection]
        if not connection.is_closed():
            connection.terminate()
        self._free_place()

    def _free_place(self) -> None:
        self._size -= 1
        self._emptied.set()
        self._wake_one()

    def _wake_one(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return


def _closed() -> Exception:
    return DATABASE_CLOSED.error(what="a pool of database connections")
