"""How long a symbol is usually silent at this hour of the week, learned from its own ticks.

Per feed and hour of the week a histogram of the gaps between ticks, in steps of a factor of two.
Old weeks fade: each week counts three quarters of the one after it. All of a batch is counted at
once; nothing here looks at single ticks.
"""

from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

import msgspec
import numpy as np
from numpy.typing import NDArray

from aitrading.core.domain.market import TickArray
from aitrading.core.kit.ids import DeviceId
from aitrading.server.data_bridge.settings import FeedSettings
from aitrading.server.data_bridge.streams import FeedKey

FEEDS_MAX: Final = 4_096
"""Feeds whose rates are learned; every further one keeps the fixed bounds."""
BINS: Final = 20
"""Bin b holds gaps of 2^(b-1) to 2^b ms; longer ones than 9 minutes are no rhythm and left out."""
HOURS: Final = 168
GAPS_WANTED: Final = 300.0
"""Gaps of an hour, faded ones counted less, from which its rhythm counts as known."""
QUANTILE: Final = 0.999
WEEK_KEEPS: Final = 0.75
DELAYED_TIMES, STALE_TIMES, DEAD_TIMES = 4, 20, 150
"""So many usual gaps without a tick make a feed DELAYED, STALE, DEAD …"""
DELAYED_LEAST_S, STALE_LEAST_S, DEAD_LEAST_S = 2.0, 10.0, 60.0
"""… but never before this: a network may stumble."""
HOUR_S: Final = 3_600
WEEK_S: Final = HOURS * HOUR_S
RATES_VERSION: Final = 1

Counts = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Silences after which a feed is late."""

    delayed_s: float
    stale_s: float
    dead_s: float
    is_learned: bool


class HourRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One hour of the week of one feed, in the file."""

    hour: int
    week: int
    counts: tuple[float, ...]


class FeedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One feed in the file."""

    symbol: str
    device: str
    broker: str
    login: int
    hours: tuple[HourRecord, ...]


class RatesFile(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file."""

    version: int = RATES_VERSION
    feeds: tuple[FeedRecord, ...] = ()


@dataclass(slots=True)
class _Hour:
    week: int
    counts: Counts


@dataclass(slots=True)
class _Rhythm:
    hours: dict[int, _Hour] = field(default_factory=dict)
    last_ms: int = 0
    cached: tuple[int, float, float | None] = (-1, 0.0, None)
    """Hour, weight and usual gap when the deadline was computed last."""


class TickRates:
    """The rhythm of every feed."""

    def __init__(self) -> None:
        self._rhythms: dict[FeedKey, _Rhythm] = {}

    def learn(self, key: FeedKey, rows: TickArray, broker_offset_s: int) -> None:
        """Count the gaps of a batch, the one before it included."""
        rhythm = self._rhythms.get(key)
        if rhythm is None:
            if len(self._rhythms) >= FEEDS_MAX:
                return
            rhythm = self._rhythms[key] = _Rhythm()
        last_ms = int(rows["event_ms"][-1]) - broker_offset_s * 1_000
        before_ms, rhythm.last_ms = rhythm.last_ms, max(rhythm.last_ms, last_ms)
        if len(rows) == 1:
            gap_ms = last_ms - before_ms
            if before_ms and gap_ms >= 0 and gap_ms.bit_length() < BINS:
                _hour_of(rhythm, last_ms).counts[gap_ms.bit_length()] += 1
            return
        gaps = np.diff(rows["event_ms"])
        if before_ms:
            first_ms = int(rows["event_ms"][0]) - broker_offset_s * 1_000
            gaps = np.append(gaps, first_ms - before_ms)
        bins = np.frexp(gaps[gaps >= 0].astype(np.float64))[1]
        counts = np.bincount(bins, minlength=BINS)[:BINS]
        _hour_of(rhythm, last_ms).counts[:] += counts.astype(np.float32)

    def forget(self, key: FeedKey) -> None:
        """Its place is free for another feed."""
        self._rhythms.pop(key, None)

    def deadlines(self, key: FeedKey, now_s: float, fixed: FeedSettings) -> Deadlines:
        """What silence means at this moment; never later than the fixed bounds."""
        usual_s = self._usual_s(key, now_s)
        if usual_s is None:
            return Deadlines(
                fixed.delayed_after_s, fixed.stale_after_s, fixed.dead_after_s, is_learned=False
            )
        return Deadlines(
            min(fixed.delayed_after_s, max(DELAYED_LEAST_S, DELAYED_TIMES * usual_s)),
            min(fixed.stale_after_s, max(STALE_LEAST_S, STALE_TIMES * usual_s)),
            min(fixed.dead_after_s, max(DEAD_LEAST_S, DEAD_TIMES * usual_s)),
            is_learned=True,
        )

    def dump(self) -> bytes:
        """What is known, for a file that must be sealed: it names accounts."""
        feeds = tuple(
            FeedRecord(
                symbol=key.symbol,
                device=str(key.device),
                broker=key.broker,
                login=key.login,
                hours=tuple(
                    HourRecord(
                        hour=hour,
                        week=one.week,
                        counts=tuple(round(float(c), 2) for c in one.counts),
                    )
                    for hour, one in rhythm.hours.items()
                ),
            )
            for key, rhythm in self._rhythms.items()
        )
        return msgspec.json.encode(RatesFile(feeds=feeds))

    def load(self, data: bytes) -> None:
        """Know what was known when it was dumped; raises `msgspec.MsgspecError` for other bytes."""
        known = msgspec.json.decode(data, type=RatesFile)
        if known.version != RATES_VERSION:
            return
        for feed in known.feeds[:FEEDS_MAX]:
            key = feed_key(feed)
            hours = {
                one.hour: _Hour(one.week, np.array(one.counts, np.float32))
                for one in feed.hours
                if 0 <= one.hour < HOURS and len(one.counts) == BINS
            }
            self._rhythms[key] = _Rhythm(hours=hours)

    def _usual_s(self, key: FeedKey, now_s: float) -> float | None:
        """The gap that all but one in a thousand stay below; None while that is not known."""
        rhythm = self._rhythms.get(key)
        if rhythm is None:
            return None
        week, hour = _moment(int(now_s * 1_000))
        found = rhythm.hours.get(hour)
        if found is None:
            return None
        weight = float(found.counts.sum()) * WEEK_KEEPS ** max(0, week - found.week)
        known_hour, known_weight, usual_s = rhythm.cached
        if known_hour == hour and known_weight <= weight < known_weight * 1.05:
            return usual_s
        usual_s = _quantile_s(found.counts) if weight >= GAPS_WANTED else None
        rhythm.cached = (hour, weight, usual_s)
        return usual_s


def feed_key(feed: FeedRecord) -> FeedKey:
    """Which feed a record is about."""
    return FeedKey(feed.symbol, DeviceId(UUID(feed.device)), feed.broker, feed.login)


def _hour_of(rhythm: _Rhythm, event_ms: int) -> _Hour:
    """The record to count into, faded by the weeks since it was counted into last."""
    week, hour = _moment(event_ms)
    found = rhythm.hours.get(hour)
    if found is None:
        found = rhythm.hours[hour] = _Hour(week, np.zeros(BINS, np.float32))
    elif week > found.week:
        found.counts *= np.float32(WEEK_KEEPS ** (week - found.week))
        found.week = week
    return found


def _moment(event_ms: int) -> tuple[int, int]:
    second = event_ms // 1_000
    return second // WEEK_S, second % WEEK_S // HOUR_S


def _quantile_s(counts: Counts) -> float:
    """The upper end of the bin that holds the quantile: rather too patient than too strict."""
    reached = np.cumsum(counts)
    place = int(np.searchsorted(reached, QUANTILE * float(reached[-1])))
    return float(2 ** min(place, BINS - 1)) / 1_000
