"""Three classes of patience, and the one way to enforce them."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from enum import IntEnum

from aitrading.core.infrastructure.resilience.errors import TIMED_OUT


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
