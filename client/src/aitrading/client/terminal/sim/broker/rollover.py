"""The end of a broker's day: swaps, and orders that live no longer than a day."""

from decimal import Decimal
from typing import Final

import msgspec

from aitrading.client.terminal.sim.broker.book import Book
from aitrading.client.terminal.sim.broker.calendar import weekday_of
from aitrading.client.terminal.sim.broker.execution import Execution
from aitrading.client.terminal.sim.broker.kinds import (
    GtcMode,
    OrderState,
    Side,
    SwapMode,
    TimeInForce,
    Weekday,
)
from aitrading.client.terminal.sim.broker.records import Position
from aitrading.client.terminal.sim.broker.specs import SymbolSpec
from aitrading.client.terminal.sim.broker.units import LOT, Ratio, ratio, rounded, times

_DAYS_OF_INTEREST: Final = 360
_TRIPLE: Final = 3
_WEEKEND: Final = (Weekday.SATURDAY, Weekday.SUNDAY)
_REOPENING: Final = (SwapMode.REOPEN_CURRENT, SwapMode.REOPEN_BID)


class Rollover:
    """Runs once for each day that ended."""

    def __init__(self, book: Book, execution: Execution) -> None:
        self._book = book
        self._execution = execution

    def end_of_day(self, day: int) -> None:
        """Charge swaps and drop what was good for the day only."""
        for position in list(self._book.positions.values()):
            nights = nights_of(self._book.spec_of(position), day)
            if nights:
                self._charge(position, nights)
        for spec in self._book.symbols.values():
            if spec.gtc_mode is not GtcMode.GTC:
                self._forget(spec)

    def _charge(self, position: Position, nights: int) -> None:
        spec = self._book.spec_of(position)
        rate = spec.swap_short if position.side is Side.SELL else spec.swap_long
        if not rate or spec.swap_mode is SwapMode.DISABLED:
            return
        if spec.swap_mode in _REOPENING:
            self._reopen(spec, position, rate * nights)
            return
        amount, currency = self._swap(spec, position, rate * nights)
        money = self._book.valuation.converted(amount, currency)
        if money:
            charged = msgspec.structs.replace(position, swap=position.swap + money)
            self._book.put_position(position, charged)

    def _swap(self, spec: SymbolSpec, position: Position, rate: Decimal) -> tuple[Ratio, str]:
        """The swap before conversion, and its currency."""
        per_lot, volume = ratio(rate), (position.volume, LOT)
        match spec.swap_mode:
            case SwapMode.CURRENCY_SYMBOL:
                return times(per_lot, volume), spec.currency_base
            case SwapMode.CURRENCY_MARGIN:
                return times(per_lot, volume), spec.currency_margin
            case SwapMode.CURRENCY_DEPOSIT:
                return times(per_lot, volume), self._book.account.currency
            case SwapMode.INTEREST_CURRENT | SwapMode.INTEREST_OPEN:
                worth = self._book.valuation.worth_of_point(spec)
                yearly = times(times(per_lot, worth), (self._interest_base(spec, position), LOT))
                return times(yearly, (1, 100 * _DAYS_OF_INTEREST)), spec.currency_profit
            case _:
                worth = self._book.valuation.worth_of_point(spec)
                return times(times(per_lot, worth), volume), spec.currency_profit

    def _interest_base(self, spec: SymbolSpec, position: Position) -> int:
        """Points times volume that interest is counted on."""
        if spec.swap_mode is SwapMode.INTEREST_OPEN:
            return position.cost
        price = self._book.quotes[spec.name].price(position.side.opposite)
        return price * position.volume

    def _reopen(self, spec: SymbolSpec, position: Position, points: Decimal) -> None:
        quote = self._book.quotes[spec.name]
        is_bid = spec.swap_mode is SwapMode.REOPEN_BID
        price = quote.bid if is_bid else quote.price(position.side.opposite)
        if price:
            shift = rounded(*ratio(points)) * position.side.sign
            self._execution.reopen(position, price, price - shift)

    def _forget(self, spec: SymbolSpec) -> None:
        for order in self._book.orders_of(spec.name):
            if order.time_kind is TimeInForce.GTC:
                expired = msgspec.structs.replace(order, state=OrderState.EXPIRED)
                self._book.finish_order(expired)
        if spec.gtc_mode is GtcMode.DAILY:
            for position in self._book.positions_of(spec.name):
                bare = msgspec.structs.replace(position, sl=0, tp=0)
                self._book.put_position(position, bare)


def nights_of(spec: SymbolSpec, day: int) -> int:
    """How many nights the end of a day counts for: three once a week, none at the weekend."""
    weekday = weekday_of(day)
    if weekday is spec.swap_rollover3days:
        return _TRIPLE
    return 0 if weekday in _WEEKEND else 1
