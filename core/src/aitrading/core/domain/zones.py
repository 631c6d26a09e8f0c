"""Clocks of exchanges, with daylight saving computed from its rules instead of from a database.

A terminal's machine may have no time zone data (Windows has none), and an old one is wrong without
telling. The rules here are law since 2007 (United States) and 1996 (Europe).
"""

from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Final

HOUR_S: Final = 3_600
DAY_S: Final = 86_400
_SUNDAY: Final = 6


class Zone(StrEnum):
    """Whose local time a rule is written in."""

    NEW_YORK = "new-york"
    LONDON = "london"
    FRANKFURT = "frankfurt"
    TOKYO = "tokyo"
    UTC = "utc"


_STANDARD_S: Final = {
    Zone.NEW_YORK: -5 * HOUR_S,
    Zone.LONDON: 0,
    Zone.FRANKFURT: HOUR_S,
    Zone.TOKYO: 9 * HOUR_S,
    Zone.UTC: 0,
}


def offset_s(zone: Zone, utc_s: int) -> int:
    """Local time minus UTC at a moment."""
    year = datetime.fromtimestamp(utc_s, UTC).year
    begins_s, ends_s = _summer(zone, year)
    return _STANDARD_S[zone] + (HOUR_S if begins_s <= utc_s < ends_s else 0)


def local_of(zone: Zone, utc_s: int) -> int:
    """What the zone's clock shows, as seconds since 1970 of that clock."""
    return utc_s + offset_s(zone, utc_s)


def utc_of(zone: Zone, local_s: int) -> int:
    """The moment at which the zone's clock shows this.

    Of an hour that comes twice the first; a moment in the hour that is skipped becomes the same
    distance after the skip.
    """
    standard_s = _STANDARD_S[zone]
    summer_guess_s = local_s - standard_s - HOUR_S
    if offset_s(zone, summer_guess_s) == standard_s + HOUR_S:
        return summer_guess_s
    return local_s - standard_s


def next_change(zone: Zone, utc_s: int) -> int | None:
    """The first second after this one from which the zone's clock is an hour off; None: never."""
    year = datetime.fromtimestamp(utc_s, UTC).year
    changes = (*_summer(zone, year), *_summer(zone, year + 1))
    return min((second for second in changes if second > utc_s), default=None)


@lru_cache(maxsize=512)
def _summer(zone: Zone, year: int) -> tuple[int, int]:
    """First second of summer time and first second after it, UTC; equal where there is none."""
    if zone is Zone.NEW_YORK:
        begins = _sunday_from(date(year, 3, 8)) + 7 * HOUR_S
        return begins, _sunday_from(date(year, 11, 1)) + 6 * HOUR_S
    if zone in {Zone.LONDON, Zone.FRANKFURT}:
        begins = _sunday_from(date(year, 3, 25)) + HOUR_S
        return begins, _sunday_from(date(year, 10, 25)) + HOUR_S
    return 0, 0


def _sunday_from(day: date) -> int:
    """Midnight (UTC) of the first Sunday that is not before a day."""
    found = day + timedelta(days=(_SUNDAY - day.weekday()) % 7)
    return int(datetime(found.year, found.month, found.day, tzinfo=UTC).timestamp())
