"""The newest prices of a symbol, what is left of its depth, and when they become interesting."""

from typing import Final

from aitrading.client.terminal.sim.broker.kinds import Side
from aitrading.client.terminal.sim.broker.specs import SymbolSpec

NEVER: Final = 1 << 62
"""A price that no tick reaches, and a time that does not come."""
Take = tuple[int, int]
"""A price and a volume dealt at it."""


class Quote:
    """One symbol's market. A tick strictly inside the four bounds changes nothing but prices."""

    __slots__ = (
        "ask",
        "ask_above",
        "ask_below",
        "bid",
        "bid_above",
        "bid_below",
        "last",
        "taken",
        "time_msc",
    )

    def __init__(self) -> None:
        self.bid = self.ask = self.last = 0
        self.time_msc = 0
        self.taken = [0, 0]
        """Volume dealt since the last tick, by the side of the taker."""
        self.watch_nothing()

    @property
    def is_known(self) -> bool:
        """Whether there are prices on both sides."""
        return self.bid > 0 and self.ask > 0

    @property
    def is_watched_closely(self) -> bool:
        """Whether no tick at all is quiet."""
        return self.bid_below == NEVER

    def watch_nothing(self) -> None:
        """No price is interesting."""
        self.bid_below = self.ask_below = -NEVER
        self.bid_above = self.ask_above = NEVER

    def watch_everything(self) -> None:
        """Each tick is to be looked at."""
        self.bid_below = self.ask_below = NEVER

    def is_quiet(self, bid: int, ask: int) -> bool:
        """Whether such a tick can trigger nothing."""
        return self.bid_below < bid < self.bid_above and self.ask_below < ask < self.ask_above

    def is_stale(self, bid: int, ask: int, time_msc: int) -> bool:
        """Whether such a tick is older than the newest, or the newest once more."""
        same = bid == self.bid and ask == self.ask
        return time_msc < self.time_msc or (same and time_msc == self.time_msc)

    def put(self, bid: int, ask: int, last: int, time_msc: int) -> None:
        """Take over a tick; the depth is whole again."""
        self.bid, self.ask, self.last, self.time_msc = bid, ask, last, time_msc
        self.taken[0] = self.taken[1] = 0

    def price(self, side: Side) -> int:
        """What a taker of that side deals at."""
        return self.bid if side else self.ask

    def takes(
        self, spec: SymbolSpec, side: Side, volume: int, *, worst: int | None, slip: int = 0
    ) -> tuple[Take, ...]:
        """Walk the depth for a volume, no further than a price; takes nothing yet."""
        best = self.price(side) + slip
        if not spec.depth:
            return ((best, volume),) if _within(side, best, worst) else ()
        skipped, takes = self.taken[side], list[Take]()
        for level in spec.depth:
            price = best + side.sign * level.offset_points
            if not _within(side, price, worst):
                break
            there = max(0, level.volume - skipped)
            skipped = max(0, skipped - level.volume)
            part = min(there, volume) // spec.volume_step * spec.volume_step
            if part:
                takes.append((price, part))
                volume -= part
        return tuple(takes)


def _within(side: Side, price: int, worst: int | None) -> bool:
    return price > 0 and (worst is None or (worst - price) * side.sign >= 0)
