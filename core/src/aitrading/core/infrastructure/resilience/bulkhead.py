"""A bulkhead: one kind of work cannot take all the room."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import ClassVar, TypeVar

from aitrading.core.infrastructure.resilience.errors import BULKHEAD_FULL
from aitrading.core.infrastructure.resilience.registry import PartStatistics, unheard

T = TypeVar("T")


class BulkheadStatistics(PartStatistics, frozen=True, kw_only=True):
    """How full a bulkhead is and was."""

    running: int
    waiting: int
    limit: int
    queue_limit: int
    entered: int
    refused: int
    peak_running: int


class Bulkhead:
    """At most `limit` calls run and `queue_limit` wait, first come first served.

    Not thread-safe: it belongs to one event loop.
    """

    kind: ClassVar[str] = "bulkhead"

    def __init__(self, name: str, *, limit: int, queue_limit: int) -> None:
        if limit < 1 or queue_limit < 0:
            raise ValueError("a bulkhead needs room for one call and a queue of zero or more")
        self.name = name
        self.on_act = unheard
        self._limit = limit
        self._queue_limit = queue_limit
        self._room = asyncio.Semaphore(limit)
        self._running = self._waiting = 0
        self._entered = self._refused = self._peak_running = 0

    @property
    def is_acting(self) -> bool:
        """Whether a call made now would be refused; refusing is the act."""
        return self._room.locked() and self._waiting >= self._queue_limit

    async def run(self, operation: Callable[[], Awaitable[T]]) -> T:
        """Run in a slot; raises BULKHEAD_FULL at once when the queue is full too."""
        async with self.slot():
            return await operation()

    @asynccontextmanager
    async def slot(self) -> AsyncGenerator[None]:
        """Hold a slot for the body; raises BULKHEAD_FULL as `run` does."""
        if self.is_acting:
            self._refused += 1
            self.on_act(None)
            raise BULKHEAD_FULL.error(
                bulkhead=self.name, limit=self._limit, queue_limit=self._queue_limit
            )
        await self._enter()
        try:
            yield
        finally:
            self._running -= 1
            self._room.release()

    async def _enter(self) -> None:
        self._waiting += 1
        try:
            await self._room.acquire()
        finally:
            self._waiting -= 1
        self._running += 1
        self._entered += 1
        self._peak_running = max(self._peak_running, self._running)

    def statistics(self) -> BulkheadStatistics:
        """Occupation now and counts since the start of the process."""
        return BulkheadStatistics(
            running=self._running,
            waiting=self._waiting,
            limit=self._limit,
            queue_limit=self._queue_limit,
            entered=self._entered,
            refused=self._refused,
            peak_running=self._peak_running,
        )
