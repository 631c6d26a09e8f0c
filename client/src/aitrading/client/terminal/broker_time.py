"""The clock of a foreign-exchange broker: New York time plus seven hours.

The trading day ends at 17:00 in New York, and brokers let their server clock show midnight then:
UTC+2 in New York's winter and UTC+3 in its summer. The rule is computed, so that the answer does
not depend on the machine's zone database.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple

HOUR_S: Final = 3_600
WINTER_OFFSET_S: Final = 2 * HOUR_S
SUMMER_OFFSET_S: Final = 3 * HOUR_S
_SUNDAY: Final = 6
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_HOURS_MIN: Final = (datetime(2, 1, 1, tzinfo=UTC) - _EPOCH) // timedelta(hours=1)
_HOURS_MAX: Final = (datetime(9999, 1, 1, tzinfo=UTC) - _EPOCH) // timedelta(hours=1)


def broker_offset_s(utc_s: int) -> int:
    """Seconds the broker's clock is ahead of UTC at that second."""
    return _hour(_known(utc_s // HOUR_S)).offset_s


def utc_of_broker_s(broker_s: int) -> int:
    """The UTC second the broker's clock shows as `broker_s`; of two, the earlier one."""
    summer_s = broker_s - SUMMER_OFFSET_S
    if broker_offset_s(summer_s) == SUMMER_OFFSET_S:
        return summer_s
    return broker_s - WINTER_OFFSET_S


def is_repeated_hour(utc_s: int) -> bool:
    """Whether the broker's clock shows this second for the second time; no broker trades then."""
    return _hour(_known(utc_s // HOUR_S)).is_repeated


def _known(utc_h: int) -> int:
    """The hour, or the nearest that the calendar has: scripts ask for any number of seconds."""
    return max(_HOURS_MIN, min(_HOURS_MAX, utc_h))


class _Hour(NamedTuple):
    """Clocks change on the hour, so an hour has one answer."""

    offset_s: int
    is_repeated: bool


@lru_cache(maxsize=1_024)
def _hour(utc_h: int) -> _Hour:
    utc_s = utc_h * HOUR_S
    begins_s, ends_s = _summer((_EPOCH + timedelta(hours=utc_h)).year)
    is_summer = begins_s <= utc_s < ends_s
    return _Hour(SUMMER_OFFSET_S if is_summer else WINTER_OFFSET_S, utc_s == ends_s)


def _summer(year: int) -> tuple[int, int]:
    """From the second Sunday of March to the first of November, 02:00 on New York's clock."""
    begins = _nth_sunday(year, 3, 2) + timedelta(hours=7)
    ends = _nth_sunday(year, 11, 1) + timedelta(hours=6)
    return int(begins.timestamp()), int(ends.timestamp())


def _nth_sunday(year: int, month: int, nth: int) -> datetime:
    first = datetime(year, month, 1, tzinfo=UTC)
    return first + timedelta(days=(_SUNDAY - first.weekday()) % 7 + 7 * (nth - 1))
