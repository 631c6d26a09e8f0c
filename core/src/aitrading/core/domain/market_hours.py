"""The calendars that are shipped, and what an organisation says differently about them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from typing import Final

from aitrading.core.domain.error_codes import CALENDAR_MALFORMED
from aitrading.core.domain.sessions import (
    CLOSURES_MAX,
    Calendar,
    Closure,
    parse_calendar,
    parse_closure,
    parse_sessions,
)
from aitrading.core.domain.symbols import Canonical, InstrumentClass, canonical_of
from aitrading.core.domain.zones import Zone
from aitrading.core.kit.errors import AitradingError

ALWAYS: Final = "always"


@dataclass(frozen=True, kw_only=True)
class MarketHours:
    """Which calendar counts for which symbol."""

    calendars: Mapping[InstrumentClass, Calendar]
    symbols: Mapping[str, Canonical]
    """What is said about single symbols; every other one is understood by its name."""

    def canonical(self, symbol: str) -> Canonical | None:
        """What a broker's symbol stands for."""
        return self.symbols.get(symbol) or canonical_of(symbol)

    def calendar(self, symbol: str) -> Calendar | None:
        """The calendar of a broker's symbol; None when nobody knows its hours."""
        found = self.canonical(symbol)
        return self.calendars.get(found.kind) if found else None

    def changed(
        self, *, symbols: str = "", sessions: str = "", closures: str = ""
    ) -> "MarketHours":
        """With an organisation's own words over it; raises `CALENDAR_MALFORMED`.

        * symbols: `Gold.x=metals XAUUSD; EURUSDz=forex EURUSD`
        * sessions: `forex new-york Sun 17:05-Fri 16:55; crypto always`; several sessions of a
          class are separated by commas
        * closures: `forex 2026-12-24T13:00/2026-12-25T18:00 Christmas`
        """
        calendars = dict(self.calendars)
        for kind, rest in _entries(sessions):
            calendars[kind] = _sessions_of(calendars.get(kind), rest)
        for kind, rest in _entries(closures):
            stretch, _, why = rest.partition(" ")
            more = parse_closure(stretch, why.strip()[:80] or "closed by the organisation")
            calendars[kind] = _closed(kind, calendars.get(kind), more)
        named = {**self.symbols, **dict(_named(symbols))}
        return MarketHours(calendars=calendars, symbols=named)


@lru_cache(maxsize=1)
def shipped_hours() -> MarketHours:
    """The calendars of this release, one file per class."""
    folder = files(__package__ or "").joinpath("session_data")
    calendars = {
        kind: parse_calendar(folder.joinpath(f"{kind}.toml").read_text("utf-8"))
        for kind in InstrumentClass
    }
    return MarketHours(calendars=calendars, symbols={})


def problem_of(*, symbols: str = "", sessions: str = "", closures: str = "") -> str | None:
    """Why these words would not be understood; None when they are."""
    try:
        shipped_hours().changed(symbols=symbols, sessions=sessions, closures=closures)
    except AitradingError as exc:
        return exc.message
    return None


def _entries(text: str) -> Iterator[tuple[InstrumentClass, str]]:
    for entry in filter(None, (part.strip() for part in text.split(";"))):
        kind, _, rest = entry.partition(" ")
        yield _kind(kind), rest.strip()


def _named(text: str) -> Iterator[tuple[str, Canonical]]:
    for entry in filter(None, (part.strip() for part in text.split(";"))):
        symbol, is_there, rest = entry.rpartition("=")
        kind, _, canonical = rest.strip().partition(" ")
        if not (is_there and symbol.strip()):
            raise CALENDAR_MALFORMED.error(
                what=repr(entry[:60]), reason="a symbol looks like `Gold.x=metals XAUUSD`"
            )
        yield symbol.strip(), Canonical(canonical.strip() or symbol.strip(), _kind(kind))


def _kind(text: str) -> InstrumentClass:
    try:
        return InstrumentClass(text)
    except ValueError:
        known = ", ".join(InstrumentClass)
        raise CALENDAR_MALFORMED.error(what=repr(text[:40]), reason=f"none of {known}") from None


def _sessions_of(calendar: Calendar | None, text: str) -> Calendar:
    zone, _, rest = text.partition(" ")
    if zone == ALWAYS:
        return Calendar(zone=Zone.UTC, sessions=())
    try:
        found = Zone(zone)
    except ValueError:
        known = ", ".join(Zone)
        raise CALENDAR_MALFORMED.error(what=repr(zone[:40]), reason=f"none of {known}") from None
    sessions = parse_sessions(rest.split(","))
    if calendar is None or calendar.zone is not found:
        return Calendar(zone=found, sessions=sessions)
    return replace(calendar, sessions=sessions)


def _closed(kind: InstrumentClass, calendar: Calendar | None, more: Closure) -> Calendar:
    if calendar is None or len(calendar.closures) >= CLOSURES_MAX:
        raise CALENDAR_MALFORMED.error(what=kind, reason=f"more than {CLOSURES_MAX} closures")
    return calendar.with_closures([more])
