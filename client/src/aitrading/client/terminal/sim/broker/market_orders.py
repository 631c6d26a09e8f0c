"""TRADE_ACTION_DEAL: market orders under the four kinds of execution."""

from typing import Final

import msgspec

from aitrading.client.terminal.sim.broker.answers import answered, dealt, refused
from aitrading.client.terminal.sim.broker.book import Book
from aitrading.client.terminal.sim.broker.dice import draw
from aitrading.client.terminal.sim.broker.execution import Execution
from aitrading.client.terminal.sim.broker.inquiry import Inquiry
from aitrading.client.terminal.sim.broker.kinds import Execution as Mode
from aitrading.client.terminal.sim.broker.kinds import Filling, OrderState
from aitrading.client.terminal.sim.broker.orders import order_of
from aitrading.client.terminal.sim.broker.quotes import Take
from aitrading.client.terminal.sim.broker.records import Order, Result
from aitrading.client.terminal.sim.broker.retcodes import Retcode

_BY_DEALER: Final = (Mode.REQUEST, Mode.INSTANT)
_PER_MILLE: Final = 1_000


class MarketOrders:
    """Deals at once, or says why not."""

    def __init__(self, book: Book, execution: Execution, *, by_chance: bool) -> None:
        self._book = book
        self._execution = execution
        self._by_chance = by_chance

    def deal(self, inquiry: Inquiry) -> Result:
        """Deal what the filling mode and the depth allow."""
        requote = self._requote(inquiry)
        if requote is not None:
            return requote
        order, takes = order_of(inquiry), self._takes(inquiry)
        offered = sum(volume for _, volume in takes)
        if not _is_enough(order, offered, inquiry.spec.execution):
            return self._reject(inquiry, order)
        at_market = (inquiry.quote.price(inquiry.side), order.volume_initial)
        if self._execution.lacks_money(order, takes or (at_market,)):
            return refused(Retcode.NO_MONEY)
        order = msgspec.structs.replace(order, ticket=self._book.next_order())
        return self._filled(inquiry, order, takes)

    def _filled(self, inquiry: Inquiry, order: Order, takes: tuple[Take, ...]) -> Result:
        order, deals = self._execution.fill(order, takes)
        state = OrderState.PARTIAL if order.volume_current else OrderState.FILLED
        retcode = Retcode.DONE_PARTIAL if order.volume_current else Retcode.DONE
        if order.volume_current and order.filling is Filling.RETURN:
            state = state if deals else OrderState.PLACED
            self._book.put_order(msgspec.structs.replace(order, state=state))
        else:
            self._book.finish_order(msgspec.structs.replace(order, state=state))
        if not deals:
            return answered(Retcode.PLACED, inquiry.quote, order=order.ticket)
        return dealt(retcode, inquiry.quote, order.ticket, deals)

    def _reject(self, inquiry: Inquiry, order: Order) -> Result:
        """The depth does not do; the order leaves its trace in history."""
        ticket = self._book.next_order()
        self._book.finish_order(
            msgspec.structs.replace(order, ticket=ticket, state=OrderState.REJECTED)
        )
        return answered(Retcode.REJECT, inquiry.quote, order=ticket)

    def _requote(self, inquiry: Inquiry) -> Result | None:
        """Where a dealer names prices: the market moved further than the client accepts.

        And wherever somebody wanted the next one to be requoted.
        """
        mode, quote, request = inquiry.spec.execution, inquiry.quote, inquiry.request
        price = quote.price(inquiry.side)
        if not self._is_requote_due():
            if mode not in _BY_DEALER:
                return None
            is_off = abs(price - request.price) > max(0, request.deviation)
            if not is_off and not self._is_by_chance_requoted(mode):
                return None
        retcode = Retcode.PRICE_CHANGED if mode is Mode.REQUEST else Retcode.REQUOTE
        return answered(retcode, quote, price=price, volume=request.volume)

    def _is_requote_due(self) -> bool:
        if not self._by_chance or not self._book.counters.is_requote_due:
            return False
        self._book.counters.is_requote_due = False
        return True

    def _is_by_chance_requoted(self, mode: Mode) -> bool:
        share = self._book.account.requotes_per_mille
        return bool(share) and mode is Mode.INSTANT and self._draw(_PER_MILLE) < share

    def _takes(self, inquiry: Inquiry) -> tuple[Take, ...]:
        request, side, mode = inquiry.request, inquiry.side, inquiry.spec.execution
        worst = None
        if mode in _BY_DEALER:
            worst = request.price + side.sign * max(0, request.deviation)
        slip = self._slip() if mode is Mode.MARKET else 0
        return inquiry.quote.takes(inquiry.spec, side, request.volume, worst=worst, slip=slip)

    def _slip(self) -> int:
        reach = self._book.account.slippage_points_max
        return self._draw(2 * reach + 1) - reach if reach else 0

    def _draw(self, sides: int) -> int:
        if not self._by_chance:
            return sides - 1 if sides == _PER_MILLE else sides // 2
        self._book.counters.draws += 1
        return draw(self._book.account.seed, self._book.counters.draws, sides)


def _is_enough(order: Order, offered: int, mode: Mode) -> bool:
    """Whether the filling mode accepts what is offered."""
    if offered == order.volume_initial:
        return True
    if order.filling is Filling.RETURN:
        return mode is Mode.EXCHANGE
    return order.filling is Filling.IOC and offered > 0
