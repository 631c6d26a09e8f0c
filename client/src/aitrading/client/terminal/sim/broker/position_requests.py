"""TRADE_ACTION_SLTP and CLOSE_BY: what is done to open positions without the market."""

import msgspec

from aitrading.client.terminal.sim.broker.answers import answered, dealt, refused
from aitrading.client.terminal.sim.broker.book import Book
from aitrading.client.terminal.sim.broker.execution import Execution
from aitrading.client.terminal.sim.broker.inquiry import Inquiry
from aitrading.client.terminal.sim.broker.kinds import OrderKind, OrderState
from aitrading.client.terminal.sim.broker.orders import closing_order
from aitrading.client.terminal.sim.broker.records import Result
from aitrading.client.terminal.sim.broker.retcodes import Retcode


class PositionRequests:
    """Changes stops, and closes two positions by each other."""

    def __init__(self, book: Book, execution: Execution) -> None:
        self._book = book
        self._execution = execution

    def set_stops(self, inquiry: Inquiry) -> Result:
        """Give the position new stops."""
        old = inquiry.position
        if old is None:
            return refused(Retcode.POSITION_CLOSED)
        new = msgspec.structs.replace(
            old,
            sl=inquiry.request.sl,
            tp=inquiry.request.tp,
            time_update_msc=self._book.now_msc,
        )
        self._book.put_position(old, new)
        return answered(Retcode.DONE, inquiry.quote)

    def close_by(self, inquiry: Inquiry) -> Result:
        """Make two deals of the smaller volume; the larger position keeps the rest."""
        first, second = inquiry.position, inquiry.position_by
        if first is None or second is None:
            return refused(Retcode.POSITION_CLOSED)
        volume = min(first.volume, second.volume)
        order = closing_order(
            first,
            ticket=self._book.next_order(),
            reason=inquiry.request.reason,
            price=0,
            comment=f"close #{first.ticket} by #{second.ticket}",
            now_msc=self._book.now_msc,
        )
        order = msgspec.structs.replace(
            order,
            kind=OrderKind.CLOSE_BY,
            volume_initial=volume,
            volume_current=volume,
            magic=inquiry.request.magic,
            position_by=second.ticket,
        )
        deals = self._execution.close_by(order, first, second)
        done = msgspec.structs.replace(order, volume_current=0, state=OrderState.FILLED)
        self._book.finish_order(done)
        return dealt(Retcode.DONE, inquiry.quote, order.ticket, deals[:1])
