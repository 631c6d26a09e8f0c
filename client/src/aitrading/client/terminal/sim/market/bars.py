"""Bars of every timeframe, made of ticks."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

import numpy as np

from aitrading.client.terminal.api import constants as c
from aitrading.client.terminal.api.arrays import RATES_DTYPE, RateRows, TickRows
from aitrading.client.terminal.broker_time import broker_offset_s, utc_of_broker_s
from aitrading.client.terminal.sim.market.history import NowUs, SymbolHistory
from aitrading.client.terminal.sim.market.ticks import US_PER_S, Whole

MINUTE_S: Final = 60
HOUR_S: Final = 3_600
DAY_S: Final = 86_400
BARS_MAX: Final = 100_000
"""`maxbars` of the terminal: an answer has fewer."""
HOURS_KEPT: Final = 24 * 10
_THURSDAY_S: Final = 4 * DAY_S
_WEEK_S: Final = 7 * DAY_S
_HOUR_BIT: Final = 0x4000

TIMEFRAMES: Final = frozenset(
    value for name, value in c.CONSTANTS.items() if name.startswith("TIMEFRAME_")
)


def period_start(timeframe: int, broker_s: int) -> int:
    """The first second of the bar that a second of the broker's clock belongs to."""
    if timeframe == c.TIMEFRAME_MN1:
        day = datetime.fromtimestamp(broker_s, UTC)
        return int(datetime(day.year, day.month, 1, tzinfo=UTC).timestamp())
    if timeframe == c.TIMEFRAME_W1:
        return broker_s - (broker_s + _THURSDAY_S) % _WEEK_S
    return broker_s - broker_s % _length_s(timeframe)


def next_start(timeframe: int, start_s: int) -> int:
    """The first second of the bar after the one that starts there."""
    if timeframe == c.TIMEFRAME_MN1:
        return period_start(timeframe, start_s + 31 * DAY_S)
    return start_s + (_WEEK_S if timeframe == c.TIMEFRAME_W1 else _length_s(timeframe))


def bars_of(starts: Whole, ticks: TickRows, digits: int) -> RateRows:
    """One bar per run of equal starts; `starts` says for each tick which bar it belongs to."""
    first = np.flatnonzero(np.diff(starts, prepend=starts[:1] - 1))
    bars = np.zeros(len(first), RATES_DTYPE)
    if not len(first):
        return bars
    bid = ticks["bid"]
    last = np.append(first[1:], len(ticks)) - 1
    bars["time"] = starts[first]
    bars["open"], bars["close"] = bid[first], bid[last]
    bars["high"], bars["low"] = np.maximum.reduceat(bid, first), np.minimum.reduceat(bid, first)
    bars["tick_volume"] = last - first + 1
    spread = np.rint((ticks["ask"] - bid) * 10**digits).astype(np.int64)
    bars["spread"] = np.minimum.reduceat(spread, first)
    if ticks["volume"].any():
        dealt = np.where(ticks["flags"] & c.TICK_FLAG_VOLUME, ticks["volume"], 0)
        bars["real_volume"] = np.add.reduceat(dealt, first)
    return bars


def merged(starts: Whole, bars: RateRows) -> RateRows:
    """Longer bars made of shorter ones, one per run of equal starts."""
    first = np.flatnonzero(np.diff(starts, prepend=starts[:1] - 1))
    longer = np.zeros(len(first), RATES_DTYPE)
    if not len(first):
        return longer
    longer["time"] = starts[first]
    longer["open"] = bars["open"][first]
    longer["close"] = bars["close"][np.append(first[1:], len(bars)) - 1]
    longer["high"] = np.maximum.reduceat(bars["high"], first)
    longer["low"] = np.minimum.reduceat(bars["low"], first)
    longer["tick_volume"] = np.add.reduceat(bars["tick_volume"], first)
    longer["spread"] = np.minimum.reduceat(bars["spread"], first)
    longer["real_volume"] = np.add.reduceat(bars["real_volume"], first)
    return longer


class BarHistory:
    """The bars of one symbol up to the one that is forming.

    Minutes are counted from ticks once per hour and kept for some days; longer bars are made of
    minutes. How far back bars go is therefore how far back ticks go. A thin past is counted by the
    day, and nothing of it is kept.
    """

    def __init__(self, history: SymbolHistory, now_us: NowUs) -> None:
        self._history = history
        self._now_us = now_us
        self._hour = lru_cache(maxsize=HOURS_KEPT)(self._minutes)

    def last(self, timeframe: int, skip: int, count: int) -> RateRows:
        """Up to `count` bars, the newest `skip` left out, oldest first."""
        bars = self._backwards(timeframe, self._broker_now_s(), skip + count)
        return bars[: max(0, len(bars) - skip)]

    def before(self, timeframe: int, moment_s: int, count: int) -> RateRows:
        """Up to `count` bars that start at that broker second or earlier."""
        return self._backwards(timeframe, min(moment_s, self._broker_now_s()), count)

    def between(self, timeframe: int, from_s: int, to_s: int) -> RateRows:
        """The bars that start between two broker seconds, both included, newest `BARS_MAX`."""
        bars = self._backwards(timeframe, min(to_s, self._broker_now_s()), BARS_MAX, from_s)
        return bars[bars["time"] >= from_s]

    def _backwards(self, timeframe: int, until_s: int, count: int, from_s: int = 0) -> RateRows:
        """Whole bars, newest first while searching; the one at `until_s` may still form."""
        wanted = min(count, BARS_MAX)
        end_s = next_start(timeframe, period_start(timeframe, until_s))
        pieces: list[RateRows] = []
        starts: set[int] = set()
        for minutes in self._stretches_before(end_s, period_start(timeframe, from_s)):
            pieces.append(merged(_starts(timeframe, minutes["time"]), minutes))
            starts.update(pieces[-1]["time"].tolist())
            if len(starts) > wanted:
                break
        if not pieces:
            return np.zeros(0, RATES_DTYPE)
        bars = np.concatenate(pieces[::-1])
        bars = merged(bars["time"], bars)
        return bars[max(0, len(bars) - wanted) :]

    def _stretches_before(self, end_s: int, from_s: int) -> Iterator[RateRows]:
        """The minutes of whole hours, or days of a thin past, newest first."""
        now_s = self._now_us() // US_PER_S
        first_s = self._history.source.first_s(now_s)
        utc_s: int | None = min(utc_of_broker_s(end_s), now_s + 1)
        while (utc_s := self._history.source.open_before(utc_s)) is not None:
            day_s = utc_s // DAY_S * DAY_S
            length_s = DAY_S if self._history.source.block_s(day_s) >= DAY_S else HOUR_S
            start_s = utc_s // length_s * length_s
            after_s = start_s + length_s
            if after_s <= first_s or after_s + broker_offset_s(start_s) <= from_s:
                return
            is_kept = length_s == HOUR_S and after_s <= now_s
            minutes = self._hour(start_s) if is_kept else self._minutes(start_s, length_s)
            minutes = minutes[minutes["time"] < end_s]
            if len(minutes):
                yield minutes
            utc_s = start_s

    def _minutes(self, start_s: int, length_s: int = HOUR_S) -> RateRows:
        digits = self._history.source.digits
        pieces = [
            bars_of(block.ticks["time"] // MINUTE_S * MINUTE_S, block.ticks, digits)
            for block in self._history.visible(start_s, start_s + length_s)
        ]
        if not pieces:
            return np.zeros(0, RATES_DTYPE)
        minutes = np.concatenate(pieces)
        return merged(minutes["time"], minutes)

    def _broker_now_s(self) -> int:
        now_s = self._now_us() // US_PER_S
        return now_s + broker_offset_s(now_s)


def _starts(timeframe: int, broker_s: Whole) -> Whole:
    """`period_start` of each."""
    if timeframe == c.TIMEFRAME_MN1:
        months = broker_s.astype("datetime64[s]").astype("datetime64[M]")
        return months.astype("datetime64[s]").astype(np.int64)
    if timeframe == c.TIMEFRAME_W1:
        return broker_s - (broker_s + _THURSDAY_S) % _WEEK_S
    length_s = _length_s(timeframe)
    return broker_s - broker_s % length_s


def _length_s(timeframe: int) -> int:
    """Seconds of a bar of up to a day: minutes as they are, hours behind their bit."""
    hours = timeframe & ~_HOUR_BIT
    return hours * HOUR_S if timeframe & _HOUR_BIT else timeframe * MINUTE_S
