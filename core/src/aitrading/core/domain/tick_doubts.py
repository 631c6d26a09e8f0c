"""Which ticks cannot be believed: judged in bulk, by rows alone, so that a replay judges the same.

A tick in doubt is stored like every other; it is left out of quotes, bars and pages of ticks. What
a tick is held against is the last one that was believed. A new level, or an earlier time, is
believed when enough ticks in a row agree on it for long enough: markets do jump, clocks are set.
"""

from collections import Counter
from dataclasses import dataclass, field
from enum import IntFlag
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from aitrading.core.domain.market import TickArray

EARLIEST_EVENT_MS: Final = 946_684_800_000
"""2000-01-01: before any MetaTrader 5 server."""
NOISE_POINTS: Final = 10.0
"""A move of so many points is never absurd, however cheap the instrument."""

Doubts = NDArray[np.uint16]


class Doubt(IntFlag):
    """Why a tick is in quarantine."""

    UNKNOWN_SYMBOL = 1
    TIME_IMPOSSIBLE = 2
    TIME_BACK = 4
    CROSSED = 8
    NO_PRICE = 16
    ABSURD = 32


MEANINGS: Final = {
    Doubt.UNKNOWN_SYMBOL: "nobody said what the symbol stands for, and the organisation wants that",
    Doubt.TIME_IMPOSSIBLE: "the time is before the year 2000, or days in the future",
    Doubt.TIME_BACK: "the time is before that of the tick before it",
    Doubt.CROSSED: "the ask is below the bid",
    Doubt.NO_PRICE: "there is no bid, no ask and no last price",
    Doubt.ABSURD: "the price is too far from the one before it",
}


@dataclass(frozen=True, kw_only=True)
class DoubtRules:
    """From when a tick is not believed, and from when it is believed after all."""

    jump: float = 0.2
    """Largest change between two ticks, as a share of the price."""
    confirm_ticks: int = 5
    confirm_ms: int = 5_000


Prices = tuple[int, int, int]
"""Bid, ask and last price in points; 0 stands for none."""
NO_PRICES: Final = (0, 0, 0)


@dataclass(slots=True)
class _Claim:
    """Doubted ticks in a row that agree with each other."""

    since_ms: int
    newest_ms: int
    prices: Prices
    ticks: int


@dataclass(slots=True)
class TickJudge:
    """What is believed of one stream so far."""

    sequence: int = 0
    newest_ms: int = 0
    prices: Prices = NO_PRICES
    """The newest of each kind."""
    _claim: _Claim | None = field(default=None, repr=False)

    def doubts(
        self,
        first_sequence: int,
        rows: TickArray,
        *,
        offset_ms: int,
        latest_ms: int,
        rules: DoubtRules,
    ) -> Doubts | None:
        """One word of `Doubt` per row, or None when all are believed.

        Rows that come again, because they were lost before they were durable, begin anew.
        """
        if first_sequence <= self.sequence:
            self.newest_ms, self.prices, self._claim = 0, NO_PRICES, None
        self.sequence = first_sequence + len(rows) - 1
        times = rows["event_ms"] - offset_ms
        if self._is_plain(times, rows["bid"], rows["ask"], latest_ms, rules):
            return None
        found = _own_doubts(rows, times, latest_ms)
        self._judge_moves(found, times, rows, rules)
        return found if found.any() else None

    def _is_plain(
        self,
        times: NDArray[np.int64],
        bid: NDArray[np.int32],
        ask: NDArray[np.int32],
        latest_ms: int,
        rules: DoubtRules,
    ) -> bool:
        """Everything in order and near the prices before: nearly every batch, and cheap to see."""
        low, high, last = self.prices
        if not (low > 0 and high > 0) or times[0] < self.newest_ms or times[-1] > latest_ms:
            return False
        below, above = _reach(low, rules) / 4, _reach(high, rules) / 4
        if not (bid.min() > max(0.0, low - below) and bid.max() < low + below):
            return False
        if not (ask.min() > high - above and ask.max() < high + above):
            return False
        if not ((ask >= bid).all() and (times[1:] >= times[:-1]).all()):
            return False
        self.newest_ms = int(times[-1])
        self.prices = int(bid[-1]), int(ask[-1]), last
        self._claim = None
        return True

    def _judge_moves(
        self, found: Doubts, times: NDArray[np.int64], rows: TickArray, rules: DoubtRules
    ) -> None:
        """Row by row, because each verdict moves what the next row is held against.

        A microsecond or two a row, whatever a device makes up; an ordinary batch never gets here.
        """
        (candidates,) = np.nonzero(found == 0)
        columns = (rows[name][candidates].tolist() for name in ("bid", "ask", "last"))
        judged = zip(candidates.tolist(), times[candidates].tolist(), *columns, strict=True)
        for index, time_ms, *prices in judged:
            bid, ask, last = prices
            doubt = self._doubt(time_ms, (bid, ask, last), rules)
            if doubt:
                found[index] = doubt
            else:
                self.newest_ms, self._claim = time_ms, None
                self.prices = _newest(self.prices, (bid, ask, last))

    def _doubt(self, time_ms: int, prices: Prices, rules: DoubtRules) -> int:
        """Why the row is not believed beside what was believed before; 0 when it is."""
        doubt = int(Doubt.TIME_BACK) if time_ms < self.newest_ms else 0
        if _is_far(prices, self.prices, rules):
            doubt |= int(Doubt.ABSURD)
        return 0 if not doubt or self._is_confirmed(time_ms, prices, rules) else doubt

    def _is_confirmed(self, time_ms: int, prices: Prices, rules: DoubtRules) -> bool:
        """Enough rows in a row agree with this one, for long enough."""
        claim = self._claim
        if claim is None or time_ms < claim.newest_ms or _is_far(prices, claim.prices, rules):
            claim = self._claim = _Claim(time_ms, time_ms, NO_PRICES, 0)
        claim.newest_ms, claim.prices = time_ms, _newest(claim.prices, prices)
        claim.ticks += 1
        return claim.ticks >= rules.confirm_ticks and time_ms - claim.since_ms >= rules.confirm_ms


def names_of(doubt: int) -> tuple[str, ...]:
    """The reasons in a word, in the order of `Doubt`."""
    return tuple(one.name for one in Doubt if doubt & one and one.name)


def first_of(doubt: int) -> Doubt:
    """The reason for which a doubted tick is counted."""
    return next(one for one in Doubt if doubt & one)


def counts_of(doubts: NDArray[Any]) -> dict[Doubt, int]:
    """How many rows are in doubt for each reason; a row with several counts for its first."""
    words, numbers = np.unique(doubts[doubts != 0], return_counts=True)
    counts: Counter[Doubt] = Counter()
    for word, number in zip(words.tolist(), numbers.tolist(), strict=True):
        counts[first_of(word)] += number
    return dict(counts)


def _own_doubts(rows: TickArray, times: NDArray[np.int64], latest_ms: int) -> Doubts:
    """What a row alone shows."""
    bid, ask = rows["bid"], rows["ask"]
    impossible = (times < EARLIEST_EVENT_MS) | (times > latest_ms)
    crossed = (bid != 0) & (ask != 0) & (ask < bid)
    empty = (bid == 0) & (ask == 0) & (rows["last"] == 0)
    return (
        impossible * np.uint16(Doubt.TIME_IMPOSSIBLE)
        | crossed * np.uint16(Doubt.CROSSED)
        | empty * np.uint16(Doubt.NO_PRICE)
    ).astype(np.uint16)


def _is_far(prices: Prices, believed: Prices, rules: DoubtRules) -> bool:
    """A price is too far from the newest of its kind, or, where no kind is known, from any other."""
    pairs = [(price, own) for price, own in zip(prices, believed, strict=True) if price and own]
    if not pairs:
        other = next(filter(None, believed), 0)
        pairs = [(price, other) for price in prices if price and other]
    return any(abs(price - held) > _reach(held, rules) for price, held in pairs)


def _newest(before: Prices, prices: Prices) -> Prices:
    """Each kind as it was told last."""
    bid, ask, last = before
    return prices[0] or bid, prices[1] or ask, prices[2] or last


def _reach(price: float, rules: DoubtRules) -> float:
    """How far the next price may be."""
    return max(abs(price) * rules.jump, NOISE_POINTS)
