"""Rates between currencies, from the pairs the broker quotes."""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from aitrading.client.terminal.sim.broker.kinds import CalcMode, Side
from aitrading.client.terminal.sim.broker.quotes import Quote
from aitrading.client.terminal.sim.broker.specs import SymbolSpec
from aitrading.client.terminal.sim.broker.units import Ratio, times

PAIR_MODES: Final = (CalcMode.FOREX, CalcMode.FOREX_NO_LEVERAGE)
PICK = Callable[[Quote, bool], int]
_HOPS_MAX: Final = 2


class Hop(NamedTuple):
    """One pair on the way; inverse when its price divides."""

    symbol: str
    digits: int
    is_inverse: bool
    target: str


class Converter:
    """Finds the way from one currency to another and its rate at the prices of now."""

    def __init__(self, symbols: Mapping[str, SymbolSpec], quotes: Mapping[str, Quote]) -> None:
        self._quotes = quotes
        self._hops: dict[str, list[Hop]] = {}
        for spec in symbols.values():
            if spec.calc_mode in PAIR_MODES and spec.currency_base != spec.currency_profit:
                there = Hop(spec.name, spec.digits, False, spec.currency_profit)
                back = Hop(spec.name, spec.digits, True, spec.currency_base)
                self._hops.setdefault(spec.currency_base, []).append(there)
                self._hops.setdefault(spec.currency_profit, []).append(back)
        self._paths: dict[tuple[str, str], tuple[Hop, ...] | None] = {}

    def path(self, source: str, target: str) -> tuple[Hop, ...] | None:
        """The pairs on the way, at most two; None when there is no way."""
        key = (source, target)
        if key not in self._paths:
            self._paths[key] = self._search(source, target)
        return self._paths[key]

    def result_rate(self, source: str, target: str, *, is_gain: bool) -> Ratio | None:
        """What a gain is sold at and a loss is bought at; None without a way or a price."""

        def pick(quote: Quote, is_inverse: bool) -> int:
            return quote.ask if is_inverse == is_gain else quote.bid

        return self._rate(source, target, pick)

    def margin_rate(self, source: str, target: str, side: Side) -> Ratio | None:
        """Margin is converted at the ask for who buys and at the bid for who sells."""

        def pick(quote: Quote, is_inverse: bool) -> int:
            del is_inverse
            return quote.price(side)

        return self._rate(source, target, pick)

    def _rate(self, source: str, target: str, pick: PICK) -> Ratio | None:
        path = self.path(source, target)
        if path is None:
            return None
        rate: Ratio = (1, 1)
        for hop in path:
            price = pick(self._quotes[hop.symbol], hop.is_inverse)
            if price <= 0:
                return None
            scale = 10**hop.digits
            rate = times(rate, (scale, price) if hop.is_inverse else (price, scale))
        return rate

    def _search(self, source: str, target: str) -> tuple[Hop, ...] | None:
        ways: list[tuple[Hop, ...]] = [()]
        for _ in range(_HOPS_MAX + 1):
            longer = list[tuple[Hop, ...]]()
            for way in ways:
                here = way[-1].target if way else source
                if here == target:
                    return way
                longer.extend((*way, hop) for hop in self._hops.get(here, ()))
            ways = [way for way in longer if len(way) <= _HOPS_MAX]
        return None
