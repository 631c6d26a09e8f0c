"""How often somebody may ask: the generic cell rate algorithm, in whole microseconds.

Each key has one number, the moment at which everything it was granted is paid back. A request
moves it by one interval, and is refused while it is more than a burst ahead. Whatever the order
and the times of requests, no window of length W is granted more than `rate x W + burst`.
"""

from dataclasses import dataclass
from typing import Final

from aitrading.core.kit.errors import Category, ErrorSpec, Severity

US_PER_MINUTE: Final = 60_000_000

RATE_LIMIT_EXCEEDED: Final = ErrorSpec(
    code="RATE_LIMIT_EXCEEDED",
    category=Category.RETRYABLE,
    message="Rate limit exceeded: {limit} in a minute are allowed {whom}.",
    why="More was asked in a short time than one person, device or organisation may ask, so that "
    "nobody takes the place of others.",
    remedy="Wait as long as `Retry-After` says, then go on more slowly. Nothing was carried out.",
    http_status=429,
    severity=Severity.INFO,
)


@dataclass(frozen=True, kw_only=True)
class RateLimit:
    """So many a minute, and so many of them at once."""

    per_minute: int
    burst: int

    @property
    def interval_us(self) -> int:
        """The time that one of them takes to be paid back; rounded up, never more than promised."""
        return -(-US_PER_MINUTE // self.per_minute)


@dataclass(frozen=True, kw_only=True)
class Granted:
    """How many of the wanted ones are allowed; none means to wait."""

    number: int
    retry_after_us: int = 0


def grant(
    paid_us: int | None, now_us: int, limit: RateLimit, wanted: int
) -> tuple[Granted, int | None]:
    """Grant as many as there is room for, and give the key's new number; None leaves it."""
    ahead_us = max(0, (paid_us or 0) - now_us)
    room = (limit.burst * limit.interval_us - ahead_us) // limit.interval_us
    number = max(0, min(wanted, room))
    if number == 0:
        wait_us = ahead_us - (limit.burst - 1) * limit.interval_us
        return Granted(number=0, retry_after_us=wait_us), None
    return Granted(number=number), now_us + ahead_us + number * limit.interval_us
