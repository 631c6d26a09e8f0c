"""A market made of arithmetic: every second of every symbol can be recomputed at any time."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from typing_extensions import override

from aitrading.client.terminal.sim.market.instruments import EXCHANGE_KINDS, SimulatedInstrument
from aitrading.client.terminal.sim.market.noise import (
    Floats,
    Octaves,
    Words,
    key_of,
    keys_of,
    keys_of_each,
    uniform,
)
from aitrading.client.terminal.sim.market.sessions import Calendar
from aitrading.client.terminal.sim.market.ticks import (
    US_PER_S,
    TickBlock,
    TickSource,
    Whole,
    dressed,
)
from aitrading.client.terminal.sim.market.trades import with_deals

TICKS_PER_SECOND_MAX: Final = 200_000
"""Largest number of ticks one symbol can have within one second, bursts included."""
SECONDS_CACHED: Final = 256
TICKS_PER_BLOCK: Final = 8_192
"""How many are made at once, so that the work fits the processor's cache."""
BLOCK_MAX_S: Final = 3_600
THIN_S: Final = 15
THIN_BLOCK_S: Final = 24 * 3_600
_BURST_STRENGTH: Final = 0.15
_SPREAD_JITTER: Final = 3


@dataclass(frozen=True, slots=True)
class _Seconds:
    """Some seconds that trade, and what was drawn for each."""

    utc_s: Whole
    keys: Words
    heat: Floats
    counts: Whole


class SimulatedMarket(TickSource):
    """One symbol's prices as a pure function of seed and time.

    Quiet stretches and bursts follow each other; the spread widens a little when it is busy. Before
    `dense_from_s` there is one tick in `THIN_S` seconds at most, as of a past that a broker thinned
    out: years of bars are then counted in seconds.
    """

    def __init__(
        self,
        instrument: SimulatedInstrument,
        *,
        seed: int,
        ticks_per_s: float,
        calendar: Calendar,
        history_s: int,
        dense_from_s: int = 0,
    ) -> None:
        self._instrument = instrument
        self._ticks_per_s = ticks_per_s
        self._calendar = calendar
        self._history_s = history_s
        self._dense_from_s = dense_from_s
        self._key = key_of(seed, *instrument.name.encode())
        self._seconds_key = key_of(self._key, 3)
        self._price = Octaves(key_of(self._key, 1), shortest_s=0.0625, longest_s=65_536)
        self._bursts = Octaves(key_of(self._key, 2), shortest_s=1, longest_s=64)
        self._second = lru_cache(maxsize=SECONDS_CACHED)(self._made)

    @property
    @override
    def digits(self) -> int:
        return self._instrument.digits

    @property
    @override
    def has_deals(self) -> bool:
        return self._instrument.kind in EXCHANGE_KINDS

    @override
    def block_s(self, utc_s: int) -> int:
        if utc_s < self._dense_from_s:
            return min(THIN_BLOCK_S, self._dense_from_s - utc_s)
        return int(min(BLOCK_MAX_S, max(1.0, TICKS_PER_BLOCK / self._ticks_per_s)))

    @override
    def first_s(self, now_s: int) -> int:
        return now_s - self._history_s

    @override
    def open_before(self, utc_s: int) -> int | None:
        return self._calendar.open_before(utc_s)

    @override
    def block(self, from_s: int, to_s: int) -> TickBlock:
        return self._second(from_s, to_s) if to_s == from_s + 1 else self._made(from_s, to_s)

    @override
    def sample(self, utc_s: Floats) -> Floats:
        return self._instrument.price_points + self._price.at(utc_s) * self._instrument.step_points

    def _made(self, from_s: int, to_s: int) -> TickBlock:
        seconds = self._draw(from_s, to_s)
        counts = seconds.counts
        of_second = np.repeat(np.arange(len(counts)), counts)
        moments = uniform(keys_of(seconds.keys, 1), counts)
        if counts.max(initial=0) > 1:
            moments = moments[np.lexsort((moments, of_second))]
        utc_s = seconds.utc_s[of_second]
        time_us = utc_s * US_PER_S + (moments * US_PER_S).astype(np.int64)
        middle = self.sample(utc_s + moments)
        jitter = uniform(keys_of(seconds.keys, 4), counts) * _SPREAD_JITTER
        jitter *= np.maximum(1.0, seconds.heat)[of_second]
        spread = self._instrument.spread_points + jitter.astype(np.int64)
        bid = np.rint(middle - spread / 2).astype(np.int64)
        starts = (counts.cumsum() - counts)[counts > 0]
        ticks = dressed(time_us, bid, bid + spread, self._instrument.digits, starts)
        return TickBlock(
            time_us, with_deals(ticks, seconds.keys, counts) if self.has_deals else ticks
        )

    def _draw(self, from_s: int, to_s: int) -> _Seconds:
        """What each second that trades has: as many ticks as its burst asks for."""
        thin = self._open_seconds(from_s, min(to_s, self._dense_from_s), THIN_S)
        dense = self._open_seconds(max(from_s, self._dense_from_s), to_s, 1)
        heat = np.exp(_BURST_STRENGTH * self._bursts.at(dense.astype(np.float64)))
        rarely = np.full(len(thin), min(1.0, self._ticks_per_s * THIN_S))
        busily = np.minimum(self._ticks_per_s * heat, float(TICKS_PER_SECOND_MAX - 1))
        utc_s = np.concatenate([thin, dense])
        keys = keys_of_each(self._seconds_key, utc_s)
        once = np.ones(len(utc_s), np.int64)
        expected = np.concatenate([rarely, busily])
        counts = (expected + uniform(keys_of(keys, 2), once)).astype(np.int64)
        counts[: len(thin)] = np.minimum(counts[: len(thin)], 1)
        return _Seconds(utc_s, keys, np.concatenate([np.ones(len(thin)), heat]), counts)

    def _open_seconds(self, from_s: int, to_s: int, step_s: int) -> Whole:
        """Every so many seconds of those that trade."""
        return np.concatenate(
            [
                np.arange(-(-begin_s // step_s) * step_s, end_s, step_s, dtype=np.int64)
                for begin_s, end_s in self._calendar.stretches(from_s, to_s)
            ]
            or [np.empty(0, np.int64)]
        )
