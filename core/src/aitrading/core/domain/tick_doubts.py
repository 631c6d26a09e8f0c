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


@dataclass(slots=True)
class _Claim:
    """Doubted ticks in a row that agree with each other."""

    since_ms: int
    newest_ms: int
    price: float
    ticks: int


@dataclass(slots=True)
class TickJudge:
    """What is believed of one stream so far."""

    sequence: int = 0
    newest_ms: int = 0
    price: float | None = None
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
            self.newest_ms, self.price, self._claim = 0, None, None
        self.sequence = first_sequence + len(rows) - 1
        times = rows["event_ms"] - offset_ms
        if self._is_plain(times, rows["bid"], rows["ask"], latest_ms, rules):
            return None
        prices = _prices(rows)
        found = _own_doubts(rows, times, latest_ms)
        self._judge_moves(found, times, prices, rules)
        return found if found.any() else None

    def _is_plain(
        self,
        times: NDArray[np.int64],
        bid: NDArray[np.int32],
        ask: NDArray[np.int32],
        latest_ms: int,
        rules: DoubtRules,
    ) -> bool:
        """Everything in order and near the price before: nearly every batch, and cheap to see."""
        price = self.price
        if price is None or times[0] < self.newest_ms or times[-1] > latest_ms:
            return False
        near = _reach(price, rules) / 4
        if not (bid.min() > max(0.0, price - near) and ask.max() < price + near):
            return False
        if not ((ask >= bid).all() and (times[1:] >= times[:-1]).all()):
            return False
        self.newest_ms = int(times[-1])
        self.price = (int(bid[-1]) + int(ask[-1])) / 2
        self._claim = None
        return True

    def _judge_moves(
        self,
        found: Doubts,
        times: NDArray[np.int64],
        prices: NDArray[np.float64],
        rules: DoubtRules,
    ) -> None:
        """Row by row, because each verdict moves what the next row is held against.

        Half a microsecond a row, whatever a device makes up; an ordinary batch never gets here.
        """
        (candidates,) = np.nonzero(found == 0)
        rows = zip(
            candidates.tolist(),
            times[candidates].tolist(),
            prices[candidates].tolist(),
            strict=True,
        )
        for index, time_ms, price in rows:
            doubt = self._doubt(time_ms, price, rules)
            if doubt:
                found[index] = doubt
            else:
                self.newest_ms, self.price, self._claim = time_ms, price, None

    def _doubt(self, time_ms: int, price: float, rules: DoubtRules) -> int:
        """Why the row is not believed beside what was believed before; 0 when it is."""
        believed = self.price
        if believed is None:
            return 0
        doubt = int(Doubt.TIME_BACK) if time_ms < self.newest_ms else 0
        if abs(price - believed) > _reach(believed, rules):
            doubt |= int(Doubt.ABSURD)
        return 0 if not doubt or self._is_confirmed(time_ms, price, rules) else doubt

    def _is_confirmed(self, time_ms: int, price: float, rules: DoubtRules) -> bool:
        """Enough rows in a row agree with this one, for long enough."""
        claim = self._claim
        if (
            claim is None
            or time_ms < claim.newest_ms
            or abs(price - claim.price) > _reach(claim.price, rules)
        ):
            claim = self._claim = _Claim(time_ms, time_ms, price, 0)
        claim.newest_ms, claim.price = time_ms, price
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


def _prices(rows: TickArray) -> NDArray[np.float64]:
    """The middle of bid and ask, or the one that is there, or the last price."""
    bid, ask = rows["bid"].astype(np.float64), rows["ask"].astype(np.float64)
    one = np.where(bid != 0, bid, np.where(ask != 0, ask, rows["last"].astype(np.float64)))
    return np.where((bid != 0) & (ask != 0), (bid + ask) / 2, one)


def _reach(price: float, rules: DoubtRules) -> float:
    """How far the next price may be."""
    return max(abs(price) * rules.jump, NOISE_POINTS)
