"""When a market is open: weekly sessions and closures in an exchange's own time.

A calendar is data; `at` is a pure function of it and of the moment asked for. It never guesses:
behind the last day whose closures are known, a session that would be open is UNKNOWN.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any, Final

from aitrading.core.domain.error_codes import CALENDAR_MALFORMED
from aitrading.core.domain.zones import DAY_S, Zone, local_of, utc_of

WEEK_S: Final = 7 * DAY_S
HORIZON_S: Final = 15 * DAY_S
"""How far a change of state is looked for in both directions; no market is closed for longer."""
CLOSURES_MAX: Final = 1_000
SESSIONS_MAX: Final = 64
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MOMENT: Final = re.compile(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun) ([01]\d|2[0-3]):([0-5]\d)", re.ASCII)
_EPOCH_WEEKDAY_S: Final = 3 * DAY_S
"""1970 began on a Thursday; weeks here begin on Monday."""


class MarketState(StrEnum):
    """What a calendar can say."""

    OPEN = "OPEN"
    CLOSED = "CLOSED"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Closure:
    """A stretch of local time in which nothing trades although the week says so."""

    from_s: int
    until_s: int
    why: str


@dataclass(frozen=True, slots=True)
class MarketNow:
    """The answer for one moment; the same for every moment in [since_s, until_s)."""

    state: MarketState
    why: str
    since_s: int | None = None
    """UTC; None when nothing changed within the horizon."""
    until_s: int | None = None

    def holds_at(self, utc_s: int) -> bool:
        """Whether the answer is still the same then."""
        after = self.since_s is None or self.since_s <= utc_s
        return after and (self.until_s is None or utc_s < self.until_s)


NO_CALENDAR: Final = MarketNow(MarketState.UNKNOWN, "no calendar for this symbol")


@dataclass(frozen=True, kw_only=True, slots=True)
class Calendar:
    """The sessions of one class of instruments."""

    zone: Zone
    sessions: tuple[tuple[int, int], ...]
    """Seconds of the week (from Monday) of each opening and closing; empty means always open."""
    closures: tuple[Closure, ...] = ()
    known_until_s: int | None = None
    """First second (UTC) whose closures nobody has written down; None: there never are any."""

    def at(self, utc_s: int) -> MarketNow:
        """Open, closed or unknown at a moment, since when and until when."""
        state, why = self._state(utc_s)
        since_s = until_s = None
        edges = sorted(set(self._edges(utc_s)))
        for edge in reversed([edge for edge in edges if edge <= utc_s]):
            if self._state(edge - 1)[0] is not state:
                since_s = edge
                break
        for edge in (edge for edge in edges if edge > utc_s):
            if self._state(edge)[0] is not state:
                until_s = edge
                break
        return MarketNow(state, why, since_s, until_s)

    def with_closures(self, more: Iterable[Closure]) -> "Calendar":
        """The calendar with further closures."""
        return replace(self, closures=(*self.closures, *more))

    def _state(self, utc_s: int) -> tuple[MarketState, str]:
        local_s = local_of(self.zone, utc_s)
        if not self._is_session(local_s):
            return MarketState.CLOSED, "outside the weekly sessions"
        for closure in self.closures:
            if closure.from_s <= local_s < closure.until_s:
                return MarketState.CLOSED, closure.why
        if self.known_until_s is not None and utc_s >= self.known_until_s:
            return MarketState.UNKNOWN, "holidays of this year are not known yet"
        return MarketState.OPEN, "in session"

    def _is_session(self, local_s: int) -> bool:
        at_s = (local_s + _EPOCH_WEEKDAY_S) % WEEK_S
        return not self.sessions or any(
            begins_s <= at_s < ends_s if begins_s < ends_s else at_s >= begins_s or at_s < ends_s
            for begins_s, ends_s in self.sessions
        )

    def _edges(self, utc_s: int) -> Iterator[int]:
        """Every moment within the horizon at which the answer may change."""
        local_s = local_of(self.zone, utc_s)
        monday_s = local_s - (local_s + _EPOCH_WEEKDAY_S) % WEEK_S
        for week in range(-3, 4):
            for session in self.sessions:
                for at_s in session:
                    yield utc_of(self.zone, monday_s + week * WEEK_S + at_s)
        for closure in self.closures:
            for edge in (closure.from_s, closure.until_s):
                if abs(edge - local_s) <= HORIZON_S:
                    yield utc_of(self.zone, edge)
        if self.known_until_s is not None:
            yield self.known_until_s


def parse_calendar(text: str) -> Calendar:
    """Read a calendar file (TOML); raises `CALENDAR_MALFORMED`."""
    try:
        raw = tomllib.loads(text)
        return Calendar(
            zone=Zone(raw["zone"]),
            sessions=parse_sessions(raw["sessions"]),
            closures=tuple(_closure(entry) for entry in raw.get("closures", ())),
            known_until_s=_midnight(raw["until"]) if "until" in raw else None,
        )
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as exc:
        raise CALENDAR_MALFORMED.error(what="calendar file", reason=str(exc)[:200]) from exc


def parse_sessions(texts: Iterable[str]) -> tuple[tuple[int, int], ...]:
    """Read `Sun 17:00-Fri 17:00` and the like; raises `CALENDAR_MALFORMED`."""
    found: list[tuple[int, int]] = []
    for text in texts:
        ends = [_MOMENT.fullmatch(end.strip()) for end in text.split("-")]
        moments = [_second_of_week(end) for end in ends if end is not None]
        if len(ends) != 2 or len(moments) != 2 or moments[0] == moments[1]:  # noqa: PLR2004
            raise CALENDAR_MALFORMED.error(
                what=repr(text[:40]), reason="a session looks like `Sun 17:00-Fri 17:00`"
            )
        found.append((moments[0], moments[1]))
    if len(found) > SESSIONS_MAX:
        raise CALENDAR_MALFORMED.error(what="sessions", reason=f"more than {SESSIONS_MAX}")
    return tuple(found)


def parse_closure(text: str, why: str) -> Closure:
    """Read `2026-12-24T13:00/2026-12-25T18:00`, local time; raises `CALENDAR_MALFORMED`."""
    try:
        begins, ends = (datetime.fromisoformat(part) for part in text.split("/"))
        closure = Closure(_wall(begins), _wall(ends), why)
        if closure.until_s <= closure.from_s:
            raise ValueError("it ends before it begins")  # noqa: TRY301 - one place tells it
    except ValueError as exc:
        raise CALENDAR_MALFORMED.error(what=repr(text[:60]), reason=str(exc)[:200]) from exc
    return closure


def _closure(entry: dict[str, Any]) -> Closure:
    return Closure(_wall(entry["from"]), _wall(entry["until"]), entry["why"])


def _second_of_week(found: "re.Match[str]") -> int:
    day, hour, minute = found.groups()
    return _DAYS.index(day) * DAY_S + int(hour) * 3_600 + int(minute) * 60


def _wall(moment: datetime) -> int:
    """Seconds since 1970 of a clock on a wall, which knows no zone."""
    if moment.tzinfo is not None:
        raise ValueError("times here are local, without a zone")
    return int(moment.replace(tzinfo=UTC).timestamp())


def _midnight(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
