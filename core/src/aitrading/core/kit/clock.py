"""Time as a dependency: the only place where the process reads the machine's clocks."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

from typing_extensions import override

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """Wall time for records, monotonic time for durations, and the only way to wait."""

    def now_ns(self) -> int:
        """Nanoseconds since the Unix epoch, UTC; may step backwards with the machine's clock."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds that never go back; only differences have a meaning."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; a manual clock wakes the sleeper when a test advances it."""
        ...


class SystemClock(Clock):
    """The machine's clocks."""

    @override
    def now_ns(self) -> int:
        return time.time_ns()

    @override
    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    @override
    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def now_ms(clock: Clock) -> int:
    """Milliseconds since the Unix epoch, the resolution of a terminal's ticks."""
    return clock.now_ns() // NS_PER_MS


def now_utc(clock: Clock) -> datetime:
    """The clock's time as an aware datetime with microseconds."""
    return datetime_of_ns(clock.now_ns())


def datetime_of_ns(timestamp_ns: int) -> datetime:
    """Convert without the rounding of a float."""
    return _EPOCH + timedelta(microseconds=timestamp_ns // 1_000)


def rfc3339_of_ns(timestamp_ns: int) -> str:
    """Render as the API does: UTC, six decimals, `Z`."""
    return datetime_of_ns(timestamp_ns).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
