"""How often somebody may ask: the generic cell rate algorithm, in whole microseconds.

Each key has one number, the moment at which everything it was granted is paid back. A request
moves it by one interval, and is refused while it is more than a burst ahead. Whatever the order
and the times of requests, no window of length W is granted more than `rate x W + burst`.

A request counts at several levels - an address, a person, an organisation - and is granted at all
of them or at none.
"""

from collections.abc import Sequence
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
class Wanted:
    """What is asked of one level: its number so far, its limit, and how many at once."""

    paid_us: int | None
    limit: RateLimit
    number: int


@dataclass(frozen=True, kw_only=True)
class Granted:
    """How many each level allows, and how many are left there; or which one refused all."""

    numbers: tuple[int, ...] = ()
    left: tuple[int, ...] = ()
    refused_by: int | None = None
    """The level on which to wait longest."""
    retry_after_us: int = 0


def grant(levels: Sequence[Wanted], now_us: int) -> tuple[Granted, tuple[int, ...]]:
    """Grant at every level, as many as there is room for at each, or at none.

    Gives the levels' new numbers too; none are changed by a refusal. A clock that stepped back
    makes nobody wait for more than a burst.
    """
    ahead = [_ahead_us(each, now_us) for each in levels]
    late = [us - _room_us(each.limit, 1) for us, each in zip(ahead, levels, strict=True)]
    if (worst := max(late)) > 0:
        return Granted(refused_by=late.index(worst), retry_after_us=worst), ()
    rooms = [_room_us(each.limit) - us for us, each in zip(ahead, levels, strict=True)]
    free = [us // each.limit.interval_us for us, each in zip(rooms, levels, strict=True)]
    numbers = tuple(min(each.number, room) for each, room in zip(levels, free, strict=True))
    left = tuple(room - number for room, number in zip(free, numbers, strict=True))
    paid = tuple(
        now_us + us + number * each.limit.interval_us
        for us, number, each in zip(ahead, numbers, levels, strict=True)
    )
    return Granted(numbers=numbers, left=left), paid


def _ahead_us(level: Wanted, now_us: int) -> int:
    return min(max(0, (level.paid_us or 0) - now_us), _room_us(level.limit))


def _room_us(limit: RateLimit, needed: int = 0) -> int:
    return (limit.burst - needed) * limit.interval_us
