"""Three classes of patience, and two ways to enforce them."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from enum import IntEnum
from types import TracebackType
from typing import Final

from aitrading.core.infrastructure.resilience.errors import TIMED_OUT

WATCH_PERIOD_S: Final = 1.0


class Timeouts(IntEnum):
    """Seconds a caller waits: a look-up, ordinary work, a heavy query or transfer."""

    FAST = 5
    NORMAL = 30
    HEAVY = 60


@asynccontextmanager
async def time_limit(limit_s: float, *, what: str) -> AsyncGenerator[None]:
    """Cancel the body after `limit_s` and raise TIMED_OUT in its place.

    A timeout that the body itself raises passes through untouched.
    """
    guard = asyncio.timeout(limit_s)
    try:
        async with guard:
            yield
    except TimeoutError as late:
        if not guard.expired():
            raise
        raise TIMED_OUT.error(what=what, limit_s=float(limit_s)) from late


class Watchdog:
    """A time limit for one piece of work after the other, without a timer for each.

    A timer per piece costs more than most event handlers take. One look per period is enough to
    cancel work that hangs; the limit is therefore kept to within `period_s`. Raises TIMED_OUT in
    place of the cancelled body.
    """

    def __init__(self, limit_s: float, *, what: str, period_s: float = WATCH_PERIOD_S) -> None:
        self._limit_s = limit_s
        self._what = what
        self._period_s = min(period_s, limit_s)
        self._task: asyncio.Task[object] | None = None
        self._began_s = 0.0
        self._watching = False
        self._expired = False

    def __enter__(self) -> None:
        if self._task is not None:
            raise RuntimeError("a watchdog watches one piece of work at a time")
        loop = asyncio.get_running_loop()
        self._task = asyncio.current_task(loop)
        self._began_s = loop.time()
        if not self._watching:
            self._watching = True
            loop.call_later(self._period_s, self._look, loop)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        task, self._task = self._task, None
        if not self._expired:
            return
        self._expired = False
        was_cancelled_by_others = task is not None and task.uncancel() > 0
        if kind is asyncio.CancelledError and not was_cancelled_by_others:
            raise TIMED_OUT.error(what=self._what, limit_s=self._limit_s) from error

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._task is None:
            self._watching = False
            return
        if not self._expired and loop.time() - self._began_s >= self._limit_s:
            self._expired = True
            self._task.cancel()
        loop.call_later(self._period_s, self._look, loop)
