"""A market made of arithmetic: every second of every symbol can be recomputed at any time."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from aitrading.client.terminal.api.arrays import TICKS_DTYPE, TickRows
from aitrading.client.terminal.api.constants import TICK_FLAG_ASK, TICK_FLAG_BID
from aitrading.client.terminal.broker_time import broker_offset_s
from aitrading.client.terminal.sim.market.noise import Floats, Octaves, key_of, uniform

US_PER_S: Final = 1_000_000
US_PER_MS: Final = 1_000
Whole = NDArray[np.int64]

TICKS_PER_SECOND_MAX: Final = 200_000
"""Largest number of ticks one symbol can have within one second, bursts included."""
SECONDS_CACHED: Final = 256
_BURST_STRENGTH: Final = 0.15
_SPREAD_JITTER: Final = 3


@dataclass(frozen=True, kw_only=True)
class SimulatedInstrument:
    """A symbol and how it behaves."""

    name: str
    digits: int
    price_points: int
    """Where the price wanders around."""
    step_points: float
    """How far it moves in about a second."""
    spread_points: int
    """The narrowest spread."""
    description: str = ""

    @property
    def point(self) -> float:
        """The smallest step of a price."""
        return float(f"1e-{self.digits}")


FOUR_SYMBOLS: Final = (
    SimulatedInstrument(
        name="EURUSD", digits=5, price_points=108_400, step_points=2.2, spread_points=6,
        description="Euro vs US Dollar",
    ),
    SimulatedInstrument(
        name="GBPUSD", digits=5, price_points=127_150, step_points=2.8, spread_points=9,
        description="Great Britain Pound vs US Dollar",
    ),
    SimulatedInstrument(
        name="USDJPY", digits=3, price_points=149_820, step_points=3.0, spread_points=8,
        description="US Dollar vs Japanese Yen",
    ),
    SimulatedInstrument(
        name="XAUUSD", digits=2, price_points=234_115, step_points=7.0, spread_points=18,
        description="Gold vs US Dollar",
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SecondOfTicks:
    """The ticks of one second, oldest first."""

    time_us: NDArray[np.int64]
    """When each becomes visible, in microseconds since the epoch, UTC."""
    ticks: TickRows


class SimulatedMarket:
    """One symbol's prices as a pure function of seed and time.

    Quiet stretches and bursts follow each other; the spread widens a little when it is busy.
    """

    def __init__(self, instrument: SimulatedInstrument, *, seed: int, ticks_per_s: float) -> None:
        self._instrument = instrument
        self._ticks_per_s = ticks_per_s
        self._key = key_of(seed, *instrument.name.encode())
        self._price = Octaves(key_of(self._key, 1), shortest_s=0.0625, longest_s=65_536)
        self._bursts = Octaves(key_of(self._key, 2), shortest_s=1, longest_s=64)
        self.second = lru_cache(maxsize=SECONDS_CACHED)(self._second)

    def _second(self, utc_s: int) -> SecondOfTicks:
        """Make the ticks of one second; the same ones every time."""
        key = key_of(self._key, 3, utc_s)
        heat = float(np.exp(_BURST_STRENGTH * self._bursts.at(np.array([float(utc_s)])))[0])
        count = self._count(key, heat)
        moments = np.sort(uniform(key_of(key, 1), count))
        time_us = utc_s * US_PER_S + (moments * US_PER_S).astype(np.int64)
        middle = self._middle(utc_s + moments)
        spread = self._spread(key, count, heat)
        bid = np.rint(middle - spread / 2).astype(np.int64)
        ticks = self._ticks(utc_s, time_us, bid, bid + spread)
        ticks.flags.writeable = False  # it is shared between answers
        return SecondOfTicks(time_us, ticks)

    def _ticks(self, utc_s: int, time_us: Whole, bid: Whole, ask: Whole) -> TickRows:
        """Dress the numbers as a terminal does: broker time, doubles, flags for what changed."""
        scale = 10**self._instrument.digits
        ticks = np.zeros(len(time_us), TICKS_DTYPE)
        ticks["time_msc"] = time_us // US_PER_MS + broker_offset_s(utc_s) * 1_000
        ticks["time"] = ticks["time_msc"] // 1_000
        ticks["bid"] = bid / scale
        ticks["ask"] = ask / scale
        flags = _changed(bid) * TICK_FLAG_BID + _changed(ask) * TICK_FLAG_ASK
        ticks["flags"] = np.where(flags == 0, TICK_FLAG_BID | TICK_FLAG_ASK, flags)
        return ticks

    def _count(self, key: int, heat: float) -> int:
        expected = min(self._ticks_per_s * heat, float(TICKS_PER_SECOND_MAX - 1))
        return int(expected + uniform(key_of(key, 2), 1)[0])

    def _middle(self, seconds: Floats) -> Floats:
        walk = self._price.at(seconds) * self._instrument.step_points
        return self._instrument.price_points + walk

    def _spread(self, key: int, count: int, heat: float) -> Whole:
        jitter = uniform(key_of(key, 4), count) * _SPREAD_JITTER * max(1.0, heat)
        return self._instrument.spread_points + jitter.astype(np.int64)


def _changed(prices: Whole) -> Whole:
    """1 where a price differs from the one before it, and at the beginning."""
    return np.diff(prices, prepend=prices[:1] - 1).astype(bool).astype(np.int64)
