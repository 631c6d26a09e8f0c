"""What passed of each symbol, for the page."""

from dataclasses import dataclass
from typing import Final

from aitrading.core.domain.market import TickArray
from aitrading.core.domain.market_hours import shipped_hours
from aitrading.core.domain.sessions import MarketNow, MarketState
from aitrading.core.kit.clock import Clock, now_ms

LIVE_MS: Final = 10_000
DELAYED_MS: Final = 60_000
SYMBOLS_MAX: Final = 2_000
MS_PER_S: Final = 1_000


@dataclass(slots=True)
class _Seen:
    ticks: int = 0
    last_ms: int = 0
    spread: int | None = None
    hours: MarketNow | None = None


class FeedBoard:
    """Counts ticks and remembers when the last one came.

    Judged here by the client's own clock; the server judges by the symbol's rhythm as well.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: dict[str, _Seen] = {}

    def on_rows(self, symbol: str, rows: TickArray) -> None:
        """Ticks that were just stored."""
        seen = self._seen.get(symbol)
        if seen is None:
            if len(self._seen) >= SYMBOLS_MAX:
                return
            seen = self._seen[symbol] = _Seen()
        newest = rows[-1]
        seen.ticks += len(rows)
        seen.last_ms = now_ms(self._clock)
        if newest["bid"] and newest["ask"]:
            seen.spread = int(newest["ask"]) - int(newest["bid"])

    def view(self) -> list[dict[str, str | int | None]]:
        """Each symbol, by name."""
        at_ms = now_ms(self._clock)
        return [
            {
                "symbol": symbol,
                "state": _state(symbol, seen, at_ms),
                "age_ms": at_ms - seen.last_ms,
                "ticks": seen.ticks,
                "spread_points": seen.spread,
            }
            for symbol, seen in sorted(self._seen.items())
        ]


def _state(symbol: str, seen: _Seen, at_ms: int) -> str:
    age_ms = at_ms - seen.last_ms
    if age_ms < LIVE_MS:
        return "LIVE"
    if seen.hours is None or not seen.hours.holds_at(at_ms // MS_PER_S):
        calendar = shipped_hours().calendar(symbol)
        seen.hours = calendar.at(at_ms // MS_PER_S) if calendar else None
    if seen.hours is not None and seen.hours.state is MarketState.CLOSED:
        return "CLOSED"
    return "DELAYED" if age_ms < DELAYED_MS else "STALE"
