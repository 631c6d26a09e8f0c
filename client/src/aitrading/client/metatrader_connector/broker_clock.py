"""How far the broker's clock is ahead of UTC; no terminal tells, so it is inferred.

A tick that has just arrived carries the broker's time of now. The difference to UTC, rounded to a
quarter of an hour, is the offset; what the rounding removes is the tick's age and the machine's
clock error, and must be small. One arrival is enough at the start. A known offset changes only
when several arrivals in a row agree, so a stale tick does not move it.

Nothing is stored with an offset that may be wrong. A known offset is *settled* up to the next
night in which clocks of New York or Europe change, and while an arrival contradicts it, up to the
last one that agreed. Later ticks stay in the terminal's history until arrivals decided. Then the
change has a moment, and ticks before it keep the offset that held for them.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from aitrading.core.domain.zones import DAY_S, HOUR_S, Zone, next_change

STEP_S: Final = 15 * 60
TOLERANCE_MS: Final = 60_000
LOWEST_S: Final = -12 * HOUR_S
HIGHEST_S: Final = 14 * HOUR_S
AGREEING_ARRIVALS: Final = 3
ALWAYS_MS: Final = 1 << 62
LONGEST_SEASON_S: Final = 300 * DAY_S
"""No two changes of a zone's clock are further apart."""
_MS_PER_S: Final = 1_000
_ZONES: Final = (Zone.NEW_YORK, Zone.LONDON)
"""Whose nights brokers' clocks change in; New York's where a long silence admits both."""
Whole = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class BrokerOffset:
    """Broker time minus UTC, and what it was before the last change."""

    offset_s: int
    before_s: int | None = None
    since_ms: int = 0
    """The moment of the last change, UTC; without one, of the night before the first arrival."""

    @property
    def known_from_ms(self) -> int:
        """From this moment on, UTC, the offset is known; 0 where it never changes."""
        return self.since_ms if self.before_s is None else last_night_ms(self.since_ms - 1)

    def at(self, utc_ms: int) -> int:
        """The offset at a moment, UTC."""
        is_before = self.before_s is not None and utc_ms < self.since_ms
        return self.before_s if is_before and self.before_s is not None else self.offset_s

    def shown_twice(self, event_ms: Whole) -> NDArray[np.bool_]:
        """Which of these broker times the clock showed twice, when it was set back last."""
        before_s = self.offset_s if self.before_s is None else self.before_s
        first_ms = self.since_ms + self.offset_s * _MS_PER_S
        return (event_ms >= first_ms) & (event_ms < self.since_ms + before_s * _MS_PER_S)

    def of(self, event_ms: Whole) -> Whole:
        """The offset of each of these broker times; of an hour that comes twice, the first."""
        if self.before_s is None:
            return np.full(len(event_ms), self.offset_s, np.int64)
        is_before = event_ms - self.before_s * _MS_PER_S < self.since_ms
        return np.where(is_before, self.before_s, self.offset_s)


class BrokerClock:
    """The offset as far as it is known, and up to which moment nothing speaks against it."""

    def __init__(
        self,
        offset: BrokerOffset | None = None,
        *,
        settled_ms: int = 0,
        is_configured: bool = False,
    ) -> None:
        self.offset = offset
        self._settled_ms = settled_ms
        self._is_configured = is_configured
        self._candidate_s: int | None = None
        self._candidate_ms = 0
        self._agreeing = 0

    @property
    def offset_s(self) -> int | None:
        """Broker time minus UTC now; None until something is known."""
        return None if self.offset is None else self.offset.offset_s

    @property
    def is_configured(self) -> bool:
        """A person told it, and no tick changes it."""
        return self._is_configured

    def is_certain_at(self, utc_ms: int) -> bool:
        """Whether a tick of this moment would have a certain offset."""
        return self.offset is not None and utc_ms < self._certain_until_ms()

    def certain(self, event_ms: Whole) -> tuple[int, int]:
        """How many of these broker times, from the first on, have one certain offset; and which."""
        if self.offset is None or not len(event_ms):
            return 0, 0
        offsets = self.offset.of(event_ms)
        utc_ms = event_ms - offsets * _MS_PER_S
        others = (offsets != offsets[0]) | (utc_ms >= self._certain_until_ms())
        return int(others.argmax()) if others.any() else len(event_ms), int(offsets[0])

    def arrived(self, event_ms: int, utc_ms: int) -> None:
        """Learn from a tick that was not there a moment ago."""
        offset_s = infer_offset_s(event_ms, utc_ms)
        if offset_s is None or self._is_configured:
            return
        tick_ms = event_ms - offset_s * _MS_PER_S
        if self.offset is None:
            self.offset = BrokerOffset(offset_s=offset_s, since_ms=last_night_ms(tick_ms))
            self._settled_ms = tick_ms
            return
        is_known = offset_s == self.offset.offset_s
        if is_known and tick_ms < self._next_night_ms():
            self._settle(tick_ms)
            return
        is_from_before = self._candidate_ms < self._next_night_ms() <= tick_ms
        if offset_s != self._candidate_s or is_from_before:  # a night in between explains anew
            self._candidate_s, self._candidate_ms, self._agreeing = offset_s, tick_ms, 0
        self._agreeing += 1
        if self._agreeing >= AGREEING_ARRIVALS:
            if not is_known:
                self.offset = self._changed(self.offset.offset_s, offset_s)
            self._settle(tick_ms)

    def _settle(self, tick_ms: int) -> None:
        self._settled_ms = max(self._settled_ms, tick_ms)
        self._candidate_s, self._agreeing = None, 0

    def _changed(self, before_s: int, offset_s: int) -> BrokerOffset:
        """The change happened in a night that is known for it, else where arrivals began to differ."""
        ahead_s = offset_s - before_s
        for zone in _ZONES:
            night_s = next_change(zone, self._settled_ms // _MS_PER_S)
            if night_s and night_s * _MS_PER_S <= self._candidate_ms and abs(ahead_s) == HOUR_S:
                since_ms = night_s * _MS_PER_S
                break
        else:
            since_ms = self._candidate_ms if ahead_s > 0 else self._settled_ms + 1
        return BrokerOffset(offset_s=offset_s, before_s=before_s, since_ms=since_ms)

    def _certain_until_ms(self) -> int:
        """From this moment on, UTC, no tick's offset is certain."""
        if self._is_configured:
            return ALWAYS_MS
        is_contradicted = self._candidate_s not in {None, self.offset_s}
        return min(self._settled_ms + 1 if is_contradicted else ALWAYS_MS, self._next_night_ms())

    def _next_night_ms(self) -> int:
        settled_s = self._settled_ms // _MS_PER_S
        nights = (next_change(zone, settled_s) for zone in _ZONES)
        return min(night for night in nights if night is not None) * _MS_PER_S


def last_night_ms(utc_ms: int) -> int:
    """The newest night, at or before a moment, in which clocks of New York or Europe changed."""
    found_s, end_s = 0, utc_ms // _MS_PER_S
    for zone in _ZONES:
        night_s = next_change(zone, max(0, end_s - LONGEST_SEASON_S))
        while night_s is not None and night_s <= end_s:
            found_s, night_s = max(found_s, night_s), next_change(zone, night_s)
    return found_s * _MS_PER_S


def infer_offset_s(event_ms: int, utc_ms: int) -> int | None:
    """The offset one fresh tick suggests, or None when it is not plausible."""
    difference_ms = event_ms - utc_ms
    offset_s = round(difference_ms / (STEP_S * 1_000)) * STEP_S
    if abs(difference_ms - offset_s * 1_000) > TOLERANCE_MS:
        return None
    return offset_s if LOWEST_S <= offset_s <= HIGHEST_S else None
