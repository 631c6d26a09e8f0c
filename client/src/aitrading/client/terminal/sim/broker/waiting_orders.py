"""TRADE_ACTION_PENDING, MODIFY and REMOVE: orders that wait for a price."""

import msgspec

from aitrading.client.terminal.sim.broker.activation import Activation
from aitrading.client.terminal.sim.broker.answers import answered, refused
from aitrading.client.terminal.sim.broker.book import Book
from aitrading.client.terminal.sim.broker.inquiry import Inquiry
from aitrading.client.terminal.sim.broker.kinds import Filling, OrderState
from aitrading.client.terminal.sim.broker.orders import modified, order_of
from aitrading.client.terminal.sim.broker.price_checks import is_marketable
from aitrading.client.terminal.sim.broker.records import Order, Result
from aitrading.client.terminal.sim.broker.retcodes import Retcode
from aitrading.client.terminal.sim.broker.specs import SymbolSpec
from aitrading.client.terminal.sim.broker.units import MICRO, ratio, rounded


class WaitingOrders:
    """Places, changes and removes them."""

    def __init__(self, book: Book, activation: Activation) -> None:
        self._book = book
        self._activation = activation

    def place(self, inquiry: Inquiry) -> Result:
        """Let an order wait; one that an exchange can deal at once is dealt at once."""
        order = self._reserved(inquiry.spec, order_of(inquiry))
        if self._lacks_money(order, None):
            return refused(Retcode.NO_MONEY)
        order = msgspec.structs.replace(order, ticket=self._book.next_order())
        is_now = order.kind.is_limit and is_marketable(order, inquiry.quote)
        if is_now and order.filling is Filling.BOC:
            self._book.finish_order(msgspec.structs.replace(order, state=OrderState.CANCELED))
            return answered(Retcode.REJECT, inquiry.quote, order=order.ticket)
        self._book.put_order(order)
        if is_now:
            self._activation.work(order)
        return self._done(inquiry, order)

    def modify(self, inquiry: Inquiry) -> Result:
        """Change what the request changes."""
        if inquiry.order is None:
            return refused(Retcode.INVALID)
        order = self._reserved(inquiry.spec, modified(inquiry.order, inquiry))
        if self._lacks_money(order, inquiry.order):
            return refused(Retcode.NO_MONEY)
        self._book.put_order(order)
        if order.kind.is_limit and is_marketable(order, inquiry.quote):
            self._activation.work(order)
        return self._done(inquiry, order)

    def remove(self, inquiry: Inquiry) -> Result:
        """Cancel the order; what it dealt stays dealt."""
        if inquiry.order is None:
            return refused(Retcode.INVALID)
        self._book.finish_order(msgspec.structs.replace(inquiry.order, state=OrderState.CANCELED))
        return self._done(inquiry, inquiry.order)

    def _done(self, inquiry: Inquiry, order: Order) -> Result:
        return answered(
            Retcode.DONE,
            inquiry.quote,
            order=order.ticket,
            price=order.price,
            volume=order.volume_initial,
        )

    def _reserved(self, spec: SymbolSpec, order: Order) -> Order:
        """The order with the margin it reserves while it waits."""
        numerator, denominator = ratio(spec.margin_rate_pending)
        whole = self._book.valuation.margin_micro(
            spec, order.kind.side, order.volume_current, order.price
        )
        margin = rounded((whole or 0) * numerator, denominator)
        return msgspec.structs.replace(order, margin_micro=margin)

    def _lacks_money(self, order: Order, before: Order | None) -> bool:
        more = order.margin_micro - (before.margin_micro if before else 0)
        return more > 0 and rounded(more, MICRO) > self._book.state().margin_free
