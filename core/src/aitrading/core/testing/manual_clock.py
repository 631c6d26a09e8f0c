"""A clock that moves when a test says so."""

import asyncio
import heapq
from itertools import count

from typing_extensions import override

from aitrading.core.kit.clock import NS_PER_S, Clock


class ManualClock(Clock):
    """Starts at a fixed instant; `advance` moves both clocks and wakes sleepers in order."""

    def __init__(self, start_ns: int = 1_700_000_000 * NS_PER_S) -> None:
        self._wall_ns = start_ns
        self._monotonic_ns = 0
        self._order = count()
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []

    @override
    def now_ns(self) -> int:
        return self._wall_ns

    @override
    def monotonic_ns(self) -> int:
        return self._monotonic_ns

    @override
    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future = asyncio.get_running_loop().create_future()
        due_ns = self._monotonic_ns + round(seconds * NS_PER_S)
        heapq.heappush(self._sleepers, (due_ns, next(self._order), future))
        await future

    @property
    def sleeping(self) -> int:
        """How many tasks wait on this clock."""
        return sum(not future.done() for _, _, future in self._sleepers)

    async def advance(self, seconds: float) -> None:
        """Move time on, letting each sleeper run at its own instant on the way."""
        target_ns = self._monotonic_ns + round(seconds * NS_PER_S)
        while self._sleepers and self._sleepers[0][0] <= target_ns:
            due_ns, _, future = heapq.heappop(self._sleepers)
            self._move_to(due_ns)
            if not future.done():
                future.set_result(None)
            await settle()
        self._move_to(target_ns)
        await settle()

    def step_wall(self, seconds: float) -> None:
        """Step the wall clock alone, as a machine does after a time correction."""
        self._wall_ns += round(seconds * NS_PER_S)

    def _move_to(self, monotonic_ns: int) -> None:
        delta_ns = max(0, monotonic_ns - self._monotonic_ns)
        self._monotonic_ns += delta_ns
        self._wall_ns += delta_ns


async def settle(turns: int = 20) -> None:
    """Let every task that can run do so."""
    for _ in range(turns):
        await asyncio.sleep(0)
