"""The broker's days and weeks, in milliseconds of its own clock."""

from collections.abc import Sequence
from typing import Final

from aitrading.client.terminal.sim.broker.kinds import TimeInForce, Weekday
from aitrading.client.terminal.sim.broker.specs import Session
from aitrading.client.terminal.sim.broker.units import MSC_PER_DAY, MSC_PER_S

_EPOCH_WEEKDAY: Final = 4  # 1970-01-01 was a Thursday
_DAYS_PER_WEEK: Final = 7
_MSC_PER_MIN: Final = 60_000
_WEEK_MSC: Final = _DAYS_PER_WEEK * MSC_PER_DAY


def day_of(time_msc: int) -> int:
    """Days since 1970-01-01."""
    return time_msc // MSC_PER_DAY


def weekday_of(day: int) -> Weekday:
    """The weekday of a day since 1970-01-01."""
    return Weekday((day + _EPOCH_WEEKDAY) % _DAYS_PER_WEEK)


def midnight_after(time_msc: int) -> int:
    """The end of the day that a moment is in."""
    return (day_of(time_msc) + 1) * MSC_PER_DAY


def is_open(sessions: Sequence[Session], time_msc: int) -> bool:
    """Whether trades are made at that moment; no sessions at all is around the clock."""
    into_week = (time_msc + _EPOCH_WEEKDAY * MSC_PER_DAY) % _WEEK_MSC
    return not sessions or any(
        session.opens_min * _MSC_PER_MIN <= into_week < session.closes_min * _MSC_PER_MIN
        for session in sessions
    )


def ends_at(time_kind: TimeInForce, expiration_s: int, now_msc: int) -> int:
    """When such an order ends by itself; 0 is never."""
    match time_kind:
        case TimeInForce.GTC:
            return 0
        case TimeInForce.DAY:
            return midnight_after(now_msc)
        case TimeInForce.SPECIFIED:
            return expiration_s * MSC_PER_S
        case TimeInForce.SPECIFIED_DAY:
            return midnight_after(expiration_s * MSC_PER_S)
