"""One rule and one symbol: what the ticks say about it. No clock and no I/O.

An alert begins once when the value exceeds the limit and ends once when it is below the calmer
value; in between nothing is told. A window is kept as at most `BUCKETS` pairs of lowest and highest
prices, so it needs the same memory for ten ticks and for a million.
"""

from collections import deque
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

import numpy as np

from aitrading.core.domain.alert_rules import AlertRule, Watched
from aitrading.core.domain.market import TickArray

BUCKETS: Final = 128
CALM_GAP_MS: Final = 60_000
"""An alert about a gap ends after this long without another one."""
MS_PER_S: Final = 1_000
_HUNDRED: Final = Decimal(100)
_EXACT: Final = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class Change:
    """An alert began or ended."""

    rule: AlertRule
    symbol: str
    raised: bool
    value: Decimal
    at_ms: int


@dataclass(slots=True)
class Watch:
    """One rule on one symbol."""

    rule: AlertRule
    symbol: str
    raised: bool = False
    began_ms: int = 0
    value: Decimal | None = None
    """The newest value; None before the first tick."""
    _last_ms: int = 0
    _last_mid2: int = 0
    _buckets: deque[tuple[int, int, int]] = field(default_factory=deque[tuple[int, int, int]])

    @property
    def remembered(self) -> int:
        """How many pairs of prices it keeps."""
        return len(self._buckets)

    def on_ticks(self, rows: TickArray, at_ms: int) -> Change | None:
        """New ticks with both prices, in order; `at_ms` is when they came, UTC."""
        bid, ask = rows["bid"].astype(np.int64), rows["ask"].astype(np.int64)
        mid2 = bid + ask
        before, self._last_mid2 = self._last_mid2, int(mid2[-1])
        self._last_ms = at_ms
        match self.rule.what:
            case Watched.SPREAD:
                spread = ask - bid
                highest, newest = int(spread.max()), int(spread[-1])
                return self._judge(self._scaled(highest), self._scaled(newest), at_ms)
            case Watched.GAP:
                steps = np.abs(np.diff(mid2, prepend=before or mid2[0]))
                return self._judge_gap(self._scaled(Decimal(int(steps.max())) / 2), at_ms)
            case Watched.MOVE:
                value = self._scaled(Decimal(self._move2(mid2, at_ms)) / 2)
                return self._judge(value, value, at_ms)
            case Watched.SILENCE:
                return self._judge(Decimal(0), Decimal(0), at_ms)

    def on_time(self, now_ms: int, *, is_open: bool, since_ms: int) -> Change | None:
        """Time has passed; `since_ms` is when watching began, `is_open` whether ticks are due."""
        match self.rule.what:
            case Watched.SILENCE:
                last_ms = max(self._last_ms, since_ms)
                silent = Decimal(max(0, now_ms - last_ms)) / MS_PER_S if is_open else Decimal(0)
                return self._judge(silent, silent, now_ms)
            case Watched.MOVE if self._buckets:
                value = self._scaled(Decimal(self._move2(None, now_ms)) / 2)
                return self._judge(value, value, now_ms)
            case Watched.GAP if self.raised and now_ms - self.began_ms >= CALM_GAP_MS:
                return self._end(Decimal(0), now_ms)
            case _:
                return None

    def _judge_gap(self, value: Decimal, at_ms: int) -> Change | None:
        """A gap is a moment: another one while the alert lasts makes it last longer."""
        if value > self.rule.limit and self.raised:
            self.began_ms, self.value = at_ms, value
            return None
        return self._judge(value, self.rule.calm, at_ms)

    def _judge(self, highest: Decimal, newest: Decimal, at_ms: int) -> Change | None:
        self.value = newest
        if not self.raised and highest > self.rule.limit:
            self.raised, self.began_ms, self.value = True, at_ms, highest
            return Change(self.rule, self.symbol, raised=True, value=highest, at_ms=at_ms)
        if self.raised and highest <= self.rule.limit and newest < self.rule.calm:
            return self._end(newest, at_ms)
        return None

    def _end(self, value: Decimal, at_ms: int) -> Change:
        self.raised, self.value = False, value
        return Change(self.rule, self.symbol, raised=False, value=value, at_ms=at_ms)

    def _scaled(self, points: Decimal | int) -> Decimal:
        """Points, or per cent of the newest middle price."""
        if not self.rule.is_percent:
            return Decimal(points).quantize(_EXACT)
        return (Decimal(points) * 2 * _HUNDRED / self._last_mid2).quantize(_EXACT)

    def _move2(self, mid2: "np.ndarray[tuple[int], np.dtype[np.int64]] | None", at_ms: int) -> int:
        """Twice the distance between highest and lowest middle price within the window."""
        window_ms = self.rule.window_s * MS_PER_S
        bucket = at_ms // max(1, window_ms // BUCKETS)
        buckets = self._buckets
        if mid2 is not None:
            low, high = int(mid2.min()), int(mid2.max())
            if buckets and buckets[-1][0] >= bucket:
                at, known_low, known_high = buckets.pop()
                buckets.append((at, min(low, known_low), max(high, known_high)))
            else:
                buckets.append((bucket, low, high))
        while len(buckets) > 1 and buckets[0][0] <= bucket - BUCKETS:
            buckets.popleft()
        return max(each[2] for each in buckets) - min(each[1] for each in buckets)
