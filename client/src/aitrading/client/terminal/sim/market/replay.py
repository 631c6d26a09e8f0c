"""Recorded quotes as a source of prices: at their own time, or again from a chosen moment on."""

from functools import lru_cache
from typing import Final

import numpy as np
from typing_extensions import override

from aitrading.client.terminal.sim.market.recording import DAY_S, Recording
from aitrading.client.terminal.sim.market.ticks import (
    US_PER_S,
    Floats,
    TickBlock,
    TickSource,
    Whole,
    dressed,
    empty_ticks,
)

BLOCK_S: Final = 600
DAYS_KEPT: Final = 2
SPEED_MAX: Final = 1e9


class Playback:
    """Maps recorded time to the time of now: from `starts_us` on, so many times as fast.

    What was recorded at `from_us` happens at `starts_us`; with speed 1 and both equal, recorded
    time is the time of now.
    """

    def __init__(self, from_us: int, starts_us: int, speed: float = 1.0) -> None:
        self._from_us, self._starts_us = from_us, starts_us
        self._speed = min(SPEED_MAX, speed)

    def played_us(self, recorded_us: Whole) -> Whole:
        """When recorded moments happen."""
        if self._speed == 1.0:
            return recorded_us + (self._starts_us - self._from_us)
        since = (recorded_us - self._from_us) / self._speed
        return self._starts_us + np.floor(since).astype(np.int64)

    def recorded_us(self, now_us: int) -> int:
        """The recorded moment that happens now, rounded down."""
        return self._from_us + int((now_us - self._starts_us) * self._speed)


class ReplayMarket(TickSource):
    """The quotes of a recording, each exactly once, in recorded order."""

    def __init__(self, recording: Recording, playback: Playback) -> None:
        self._recording = recording
        self._playback = playback
        self._first_us = recording.day(recording.days[0]).time_us[:1]
        self._day = lru_cache(maxsize=DAYS_KEPT)(self._dressed)

    @property
    @override
    def digits(self) -> int:
        return self._recording.digits

    @property
    @override
    def has_deals(self) -> bool:
        return False

    @override
    def block_s(self, utc_s: int) -> int:
        return BLOCK_S

    @override
    def first_s(self, now_s: int) -> int:
        return int(self._playback.played_us(self._first_us)[0]) // US_PER_S

    @override
    def block(self, from_s: int, to_s: int) -> TickBlock:
        from_us, to_us = from_s * US_PER_S, to_s * US_PER_S
        parts = [
            _between(self._day(day_s), from_us, to_us) for day_s in self._days(from_us, to_us)
        ]
        if len(parts) == 1:
            return parts[0]
        return TickBlock(
            np.concatenate([part.time_us for part in parts] or [np.empty(0, np.int64)]),
            np.concatenate([part.ticks for part in parts] or [empty_ticks()]),
        )

    @override
    def open_before(self, utc_s: int) -> int | None:
        """The second of the newest quote before this second."""
        before_us = self._playback.recorded_us(utc_s * US_PER_S) + US_PER_S
        for day_s in reversed(self._recording.days):
            if day_s * US_PER_S > before_us:
                continue
            time_us = self._day(day_s).time_us
            index = int(time_us.searchsorted(utc_s * US_PER_S)) - 1
            if index >= 0:
                return int(time_us[index]) // US_PER_S
        return None

    @override
    def sample(self, utc_s: Floats) -> None:
        return None

    def _days(self, from_us: int, to_us: int) -> list[int]:
        first_us = self._playback.recorded_us(from_us)
        last_us = self._playback.recorded_us(to_us) + US_PER_S
        return [
            day_s
            for day_s in self._recording.days
            if day_s * US_PER_S <= last_us and (day_s + DAY_S) * US_PER_S >= first_us
        ]

    def _dressed(self, day_s: int) -> TickBlock:
        day = self._recording.day(day_s)
        time_us = self._playback.played_us(day.time_us)
        starts = np.zeros(min(1, len(time_us)), np.int64)
        return TickBlock(time_us, dressed(time_us, day.bid, day.ask, self.digits, starts))


def _between(block: TickBlock, from_us: int, to_us: int) -> TickBlock:
    inside = slice(*block.time_us.searchsorted((from_us, to_us)))
    return TickBlock(block.time_us[inside], block.ticks[inside])
