"""A stretch of ticks, and what every source of prices can be asked."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from aitrading.client.terminal.api.arrays import TICKS_DTYPE, TickRows
from aitrading.client.terminal.api.constants import TICK_FLAG_ASK, TICK_FLAG_BID
from aitrading.client.terminal.broker_time import broker_offset_s

US_PER_S = 1_000_000
US_PER_MS = 1_000
Whole = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TickBlock:
    """Ticks of some whole seconds, in the order in which they become visible."""

    time_us: Whole
    """When each becomes visible, in microseconds since the epoch, UTC."""
    ticks: TickRows

    def until(self, now_us: int) -> TickRows:
        """Those that have happened by then."""
        return self.ticks[: self.time_us.searchsorted(now_us, side="right")]


class TickSource(Protocol):
    """Prices of one symbol as a function of time; asking twice gives the same."""

    @property
    def digits(self) -> int:
        """Decimals of its prices."""
        ...

    @property
    def has_deals(self) -> bool:
        """Whether there are ticks with a last price."""
        ...

    def block_s(self, utc_s: int) -> int:
        """How many seconds from that one on are best taken at once."""
        ...

    def first_s(self, now_s: int) -> int:
        """The oldest second there are ticks of, as far as is known."""
        ...

    def block(self, from_s: int, to_s: int) -> TickBlock:
        """All ticks of these seconds, UTC, the last one excluded."""
        ...

    def open_before(self, utc_s: int) -> int | None:
        """The newest second before this one that may have ticks."""
        ...

    def sample(self, utc_s: Floats) -> Floats | None:
        """The middle price, in points, at any moments; None where only ticks tell."""
        ...


def empty_ticks() -> TickRows:
    """No tick at all."""
    return np.empty(0, TICKS_DTYPE)


def dressed(time_us: Whole, bid: Whole, ask: Whole, digits: int, starts: Whole) -> TickRows:
    """Quotes as a terminal shows them: broker time, doubles, flags for what changed.

    At `starts` both prices count as changed. All quotes are of hours with one broker offset each.
    """
    scale = 10**digits
    ticks = np.zeros(len(time_us), TICKS_DTYPE)
    ticks["time_msc"] = time_us // US_PER_MS + _offsets_ms(time_us)
    ticks["time"] = ticks["time_msc"] // 1_000
    ticks["bid"] = bid / scale
    ticks["ask"] = ask / scale
    changed_bid, changed_ask = _changed(bid, starts), _changed(ask, starts)
    flags = changed_bid * TICK_FLAG_BID + changed_ask * TICK_FLAG_ASK
    ticks["flags"] = np.where(flags == 0, TICK_FLAG_BID | TICK_FLAG_ASK, flags)
    ticks.flags.writeable = False  # it is shared between answers
    return ticks


def _offsets_ms(time_us: Whole) -> Whole | int:
    if not len(time_us):
        return 0
    hours = time_us // (3_600 * US_PER_S)
    first_h, last_h = int(hours[0]), int(hours[-1])
    if first_h == last_h:
        return broker_offset_s(first_h * 3_600) * 1_000
    offsets = [broker_offset_s(hour * 3_600) * 1_000 for hour in range(first_h, last_h + 1)]
    return np.array(offsets, np.int64)[hours - first_h]


def _changed(prices: Whole, starts: Whole) -> Whole:
    """1 where a price differs from the one before it, and at the beginnings."""
    changed = np.diff(prices, prepend=prices[:1] - 1).astype(bool).astype(np.int64)
    changed[starts] = 1
    return changed


def blocks(source: TickSource, from_s: int, to_s: int) -> Iterator[TickBlock]:
    """The ticks of these seconds, oldest first, in pieces of bounded size."""
    start_s = from_s
    while start_s < to_s:
        end_s = min(to_s, start_s + source.block_s(start_s))
        block = source.block(start_s, end_s)
        if len(block.ticks):
            yield block
        start_s = end_s
