"""What is over: done orders and deals, each in the order they happened, the oldest forgotten."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import takewhile
from typing import TypeVar

from aitrading.client.terminal.sim.broker.records import Deal, Order

T = TypeVar("T", Deal, Order)
TimeOf = Callable[[T], int]


class History:
    """Deals and done orders; what is younger than the delay is not shown yet."""

    def __init__(self, *, deals_max: int, orders_max: int, delay_ms: int) -> None:
        self._deals: deque[Deal] = deque(maxlen=deals_max)
        self._orders: deque[Order] = deque(maxlen=orders_max)
        self._delay_ms = delay_ms

    def add_deal(self, deal: Deal) -> None:
        """Keep a deal; times never go back."""
        self._deals.append(deal)

    def add_order(self, order: Order) -> None:
        """Keep an order that is done."""
        self._orders.append(order)

    def deals(self, from_msc: int, to_msc: int, now_msc: int) -> tuple[Deal, ...]:
        """The deals of a stretch of time, both ends included."""
        shown = self._shown(reversed(self._deals), from_msc, now_msc, _deal_time)
        return tuple(reversed([deal for deal in shown if deal.time_msc <= to_msc]))

    def orders(self, from_msc: int, to_msc: int, now_msc: int) -> tuple[Order, ...]:
        """The orders that were done in a stretch of time, both ends included."""
        shown = self._shown(reversed(self._orders), from_msc, now_msc, _order_time)
        return tuple(reversed([order for order in shown if order.time_done_msc <= to_msc]))

    def all_deals(self) -> list[Deal]:
        """Everything kept, shown or not."""
        return list(self._deals)

    def all_orders(self) -> list[Order]:
        """Everything kept, shown or not."""
        return list(self._orders)

    def fill(self, deals: Iterable[Deal], orders: Iterable[Order]) -> None:
        """Take over what a snapshot held."""
        self._deals.extend(deals)
        self._orders.extend(orders)

    def _shown(
        self, newest_first: Iterator[T], from_msc: int, now_msc: int, time_of: TimeOf[T]
    ) -> Iterator[T]:
        late = takewhile(lambda record: time_of(record) >= from_msc, newest_first)
        return (record for record in late if time_of(record) + self._delay_ms <= now_msc)


def _deal_time(deal: Deal) -> int:
    return deal.time_msc


def _order_time(order: Order) -> int:
    return order.time_done_msc
