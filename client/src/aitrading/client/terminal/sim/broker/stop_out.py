"""Margin stop-out: what binds margin goes until the account can carry the rest."""

import msgspec

from aitrading.client.terminal.sim.broker.activation import Activation
from aitrading.client.terminal.sim.broker.book import Book
from aitrading.client.terminal.sim.broker.calendar import is_open
from aitrading.client.terminal.sim.broker.kinds import OrderState, Reason, StopOutMode
from aitrading.client.terminal.sim.broker.records import AccountState, Order, Position
from aitrading.client.terminal.sim.broker.units import rounded
from aitrading.core.domain.price import decimal_text


class StopOut:
    """Cancels the order that reserves most, then closes the worst loser, one at a time."""

    def __init__(self, book: Book, activation: Activation) -> None:
        self._book = book
        self._activation = activation

    def run(self) -> bool:
        """Enforce the level; whether anything had to go."""
        happened = False
        while self._is_reached() and self._relieve(self._book.state()):
            happened = True
        return happened

    def slack(self) -> int | None:
        """Money that can be lost before the level is reached; None while nothing is at stake."""
        book = self._book
        if not book.positions or not book.margin():
            return None
        return book.balance + book.credit + book.floating() - self._level()

    def _is_reached(self) -> bool:
        slack = self.slack()
        return slack is not None and slack <= 0

    def _level(self) -> int:
        return self._book.threshold(self._book.account.stop_out)

    def _relieve(self, state: AccountState) -> bool:
        reserving = [order for order in self._book.orders.values() if order.margin_micro]
        if reserving:
            self._cancel(max(reserving, key=lambda order: (order.margin_micro, -order.ticket)))
            return True
        losers = sorted(self._book.positions.values(), key=self._result)
        return any(self._close(position, state) for position in losers)

    def _result(self, position: Position) -> tuple[int, int]:
        floating = self._book.valuation.floating(self._book.spec_of(position), position)
        return floating + position.swap, position.ticket

    def _close(self, position: Position, state: AccountState) -> bool:
        spec = self._book.spec_of(position)
        if not is_open(spec.sessions, self._book.now_msc):
            return False
        price = self._book.quotes[position.symbol].price(position.side.opposite)
        return self._activation.close(
            position, Reason.SO, price=price, worst=None, comment=self._comment(state)
        )

    def _cancel(self, order: Order) -> None:
        self._book.finish_order(msgspec.structs.replace(order, state=OrderState.CANCELED))

    def _comment(self, state: AccountState) -> str:
        """`so: level/equity/margin`, as servers write it."""
        digits = self._book.account.currency_digits
        equity, margin = (decimal_text(x, digits) for x in (state.equity, state.margin))
        if self._book.account.stopout_mode is StopOutMode.MONEY or not state.margin:
            return f"so: {equity}/{margin}"
        level = decimal_text(rounded(state.equity * 10_000, state.margin), 2)
        return f"so: {level}%/{equity}/{margin}"
