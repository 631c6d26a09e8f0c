"""When a symbol trades: stretches of the broker's week, on the broker's own clock."""

from collections.abc import Sequence
from typing import Final

from aitrading.client.terminal.broker_time import broker_offset_s, is_repeated_hour
from aitrading.client.terminal.sim.broker.specs import Session
from aitrading.client.terminal.sim.market.instruments import InstrumentKind

MINUTE_S: Final = 60
DAY_MIN: Final = 24 * 60
WEEK_MIN: Final = 7 * DAY_MIN
_EPOCH_MIN: Final = 4 * DAY_MIN
"""1970-01-01 was a Thursday, four days into a week that begins on Sunday."""


def _daily(days: Sequence[int], opens_min: int, closes_min: int) -> tuple[Session, ...]:
    return tuple(
        Session(opens_min=day * DAY_MIN + opens_min, closes_min=day * DAY_MIN + closes_min)
        for day in days
    )


_WORKDAYS: Final = range(1, 6)
HOURS: Final[dict[InstrumentKind, tuple[Session, ...]]] = {
    InstrumentKind.FOREX: _daily(_WORKDAYS, 5, DAY_MIN - 1),
    InstrumentKind.METAL: _daily(_WORKDAYS, 61, DAY_MIN - 2),
    InstrumentKind.INDEX: _daily(_WORKDAYS, 61, DAY_MIN - 5),
    InstrumentKind.STOCK: _daily(_WORKDAYS, 16 * 60 + 30, 23 * 60),
    InstrumentKind.FUTURES: _daily(_WORKDAYS, 60, DAY_MIN),
    InstrumentKind.CRYPTO: _daily(range(7), 0, DAY_MIN),
}
"""The usual hours: days of 24 hours end at 17:00 in New York, with a break at the rollover."""


class Calendar:
    """Whether a symbol trades; no session at all is around the clock."""

    def __init__(self, sessions: Sequence[Session] = ()) -> None:
        self._sessions = tuple(sessions) or (Session(opens_min=0, closes_min=WEEK_MIN),)

    def is_open(self, utc_s: int) -> bool:
        """Whether there can be a tick in that second."""
        into_week = _into_week_s(utc_s)
        return not is_repeated_hour(utc_s) and any(
            one.opens_min * MINUTE_S <= into_week < one.closes_min * MINUTE_S
            for one in self._sessions
        )

    def open_before(self, utc_s: int) -> int:
        """The newest open second before this one."""
        before_s = utc_s - 1
        while not self.is_open(before_s):
            before_s = self._last_end(before_s) - 1
        return before_s

    def stretches(self, from_s: int, to_s: int) -> list[tuple[int, int]]:
        """The open stretches within these seconds, oldest first; none crosses a full hour."""
        stretches: list[tuple[int, int]] = []
        until_s = to_s
        while until_s > from_s:
            last_s = self.open_before(until_s)
            if last_s < from_s:
                break
            begin_s = max(from_s, self._begin(last_s))
            stretches.append((begin_s, last_s + 1))
            until_s = begin_s
        return stretches[::-1]

    def _begin(self, utc_s: int) -> int:
        """The first second of the open stretch this second is in; an hour's edge at the least."""
        into_week = _into_week_s(utc_s)
        begin_s = next(
            one.opens_min * MINUTE_S
            for one in self._sessions
            if one.opens_min * MINUTE_S <= into_week < one.closes_min * MINUTE_S
        )
        return max(utc_s - (into_week - begin_s), utc_s // 3_600 * 3_600)

    def _last_end(self, utc_s: int) -> int:
        """The newest second at which a session may have ended, not after this closed one."""
        into_week = _into_week_s(utc_s)
        passed = [
            into_week - one.closes_min * MINUTE_S
            for one in self._sessions
            if one.closes_min * MINUTE_S <= into_week
        ]
        back_s = min(passed, default=into_week)
        return max(utc_s - back_s, utc_s // 3_600 * 3_600)


def _into_week_s(utc_s: int) -> int:
    broker_s = utc_s + broker_offset_s(utc_s)
    return (broker_s + _EPOCH_MIN * MINUTE_S) % (WEEK_MIN * MINUTE_S)
