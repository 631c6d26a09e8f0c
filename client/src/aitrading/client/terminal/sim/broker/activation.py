"""What the market does to waiting orders and to stops of positions."""

import msgspec

from aitrading.client.terminal.sim.broker.book import Book
from aitrading.client.terminal.sim.broker.execution import Execution
from aitrading.client.terminal.sim.broker.kinds import Filling, OrderKind, OrderState, Reason
from aitrading.client.terminal.sim.broker.orders import closing_order
from aitrading.client.terminal.sim.broker.price_checks import is_marketable
from aitrading.client.terminal.sim.broker.quotes import Quote
from aitrading.client.terminal.sim.broker.records import Order, Position
from aitrading.core.domain.price import decimal_text

_LIMIT_OF_STOP_LIMIT = {
    OrderKind.BUY_STOP_LIMIT: OrderKind.BUY_LIMIT,
    OrderKind.SELL_STOP_LIMIT: OrderKind.SELL_LIMIT,
}


class Activation:
    """Wakes what a tick reaches: stops of positions first, then orders, each oldest first."""

    def __init__(self, book: Book, execution: Execution) -> None:
        self._book = book
        self._execution = execution

    def on_tick(self, symbol: str) -> bool:
        """Look at everything of the symbol once; whether anything happened."""
        quote, happened = self._book.quotes[symbol], False
        for position in self._book.positions_of(symbol):
            reason = reached_stop(position, quote)
            if reason is not None:
                happened |= self._stop(position, reason)
        for order in self._book.orders_of(symbol):
            if is_reached(order, quote):
                self.work(order)
                happened = True
        return happened

    def work(self, order: Order) -> None:
        """Deal what a reached order can deal now; what the filling mode drops is cancelled."""
        if order.kind.is_stop_limit:
            self._wake_limit(order)
            return
        spec, quote = self._book.spec_of(order), self._book.quotes[order.symbol]
        worst = order.price if order.kind.is_limit else None
        takes = quote.takes(spec, order.kind.side, order.volume_current, worst=worst)
        offered = sum(volume for _, volume in takes)
        awake = msgspec.structs.replace(order, is_awake=not order.kind.is_limit)
        if not offered:
            self._book.put_order(awake)
            return
        is_short = offered < order.volume_current and order.filling is Filling.FOK
        if is_short or self._execution.lacks_money(order, takes):
            self._cancel(order)
            return
        self._fill(awake, takes)

    def close(
        self, position: Position, reason: Reason, *, price: int, worst: int | None, comment: str
    ) -> bool:
        """Close a position by the broker's own hand, as far as the depth goes."""
        spec, quote = self._book.spec_of(position), self._book.quotes[position.symbol]
        side = position.side.opposite
        takes = quote.takes(spec, side, position.volume, worst=worst)
        if not takes:
            return False
        order = closing_order(
            position,
            ticket=self._book.next_order(),
            reason=reason,
            price=price,
            comment=comment,
            now_msc=self._book.now_msc,
        )
        order, _ = self._execution.fill(order, takes)
        state = OrderState.PARTIAL if order.volume_current else OrderState.FILLED
        self._book.finish_order(msgspec.structs.replace(order, state=state))
        return True

    def _stop(self, position: Position, reason: Reason) -> bool:
        is_loss = reason is Reason.SL
        price = position.sl if is_loss else position.tp
        text = decimal_text(price, self._book.spec_of(position).digits)
        comment = f"[{'sl' if is_loss else 'tp'} {text}]"
        worst = None if is_loss else price
        return self.close(position, reason, price=price, worst=worst, comment=comment)

    def _fill(self, order: Order, takes: tuple[tuple[int, int], ...]) -> None:
        before = order.volume_current
        order, _ = self._execution.fill(order, takes)
        if not order.volume_current:
            self._book.finish_order(msgspec.structs.replace(order, state=OrderState.FILLED))
        elif order.filling in {Filling.FOK, Filling.IOC} or order.volume_current == before:
            self._book.finish_order(msgspec.structs.replace(order, state=OrderState.CANCELED))
        else:
            self._book.put_order(_partly_filled(order, before))

    def _wake_limit(self, order: Order) -> None:
        kind = _LIMIT_OF_STOP_LIMIT[order.kind]
        limit = msgspec.structs.replace(order, kind=kind, price=order.stoplimit, stoplimit=0)
        quote = self._book.quotes[order.symbol]
        if is_marketable(limit, quote) and order.filling is Filling.BOC:
            self._cancel(limit)
            return
        self._book.put_order(limit)
        if is_marketable(limit, quote):
            self.work(limit)

    def _cancel(self, order: Order) -> None:
        self._book.finish_order(msgspec.structs.replace(order, state=OrderState.CANCELED))


def reached_stop(position: Position, quote: Quote) -> Reason | None:
    """Which stop of a position the closing price has reached; the loss comes first."""
    price, sign = quote.price(position.side.opposite), position.side.sign
    if position.sl and (price - position.sl) * sign <= 0:
        return Reason.SL
    if position.tp and (price - position.tp) * sign >= 0:
        return Reason.TP
    return None


def is_reached(order: Order, quote: Quote) -> bool:
    """Whether the market is where the order waits for it."""
    if order.is_awake or order.kind.is_market:
        return True
    if order.kind.is_limit:
        return is_marketable(order, quote)
    side = order.kind.side
    return (quote.price(side) - order.price) * side.sign >= 0


def _partly_filled(order: Order, before: int) -> Order:
    margin = order.margin_micro * order.volume_current // before
    return msgspec.structs.replace(order, state=OrderState.PARTIAL, margin_micro=margin)
