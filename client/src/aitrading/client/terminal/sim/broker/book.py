"""Everything the broker knows about the account at one moment."""

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Final

import msgspec

from aitrading.client.terminal.sim.broker.history import History
from aitrading.client.terminal.sim.broker.kinds import DealKind, Entry, Reason, StopOutMode
from aitrading.client.terminal.sim.broker.margin import symbol_margin_micro
from aitrading.client.terminal.sim.broker.quotes import Quote
from aitrading.client.terminal.sim.broker.records import AccountState, Deal, Order, Position
from aitrading.client.terminal.sim.broker.specs import AccountSpec, SymbolSpec
from aitrading.client.terminal.sim.broker.units import MICRO, ratio, rounded
from aitrading.client.terminal.sim.broker.valuation import Valuation

_DEALS_AFTER_ORDERS: Final = 1_000_000
_PER_CENT: Final = 100


class Counters(msgspec.Struct, kw_only=True):
    """What counts up: tickets, draws, requests; and what happens at the next one."""

    order: int
    deal: int
    draws: int = 0
    is_requote_due: bool = False
    """Whether the next order at market is asked again, without chance."""
    requests: int = 0
    second: int = 0
    """The second of broker time whose requests are counted."""
    in_second: int = 0


class Book:
    """The account's state and the sums derived from it."""

    def __init__(self, account: AccountSpec, symbols: Mapping[str, SymbolSpec]) -> None:
        self.account = account
        self.symbols = symbols
        self.now_msc = 0
        self.balance = account.deposit
        self.credit = account.credit
        self.is_client_allowed = True
        self.is_server_allowed = True
        self.counters = Counters(
            order=account.first_ticket, deal=account.first_ticket + _DEALS_AFTER_ORDERS
        )
        self.quotes = {name: Quote() for name in symbols}
        self.positions: dict[int, Position] = {}
        self.orders: dict[int, Order] = {}
        self.history = History(
            deals_max=account.history_deals_max,
            orders_max=account.history_orders_max,
            delay_ms=account.history_delay_ms,
        )
        self.valuation = Valuation(account, symbols, self.quotes)
        self._margins: dict[str, int] = {}

    def open_account(self) -> None:
        """Note the deposit as the first deal, so that history adds up to the balance."""
        for kind, amount in (
            (DealKind.BALANCE, self.balance),
            (DealKind.CREDIT, self.credit),
        ):
            if amount:
                self.history.add_deal(self._money_deal(kind, amount))

    def spec_of(self, position_or_order: Position | Order) -> SymbolSpec:
        """The symbol's specification."""
        return self.symbols[position_or_order.symbol]

    def positions_of(self, symbol: str) -> list[Position]:
        """A symbol's positions, oldest first."""
        return [position for position in self.positions.values() if position.symbol == symbol]

    def orders_of(self, symbol: str) -> list[Order]:
        """A symbol's waiting orders, oldest first."""
        return [order for order in self.orders.values() if order.symbol == symbol]

    def net_position(self, symbol: str) -> Position | None:
        """The one position of a netting account."""
        return next(iter(self.positions_of(symbol)), None)

    def put_position(self, old: Position | None, new: Position | None) -> None:
        """Replace a position by what became of it."""
        if old is not None and (new is None or new.ticket != old.ticket):
            del self.positions[old.ticket]
        if new is not None:
            self.positions[new.ticket] = new
        changed = new or old
        if changed is not None:
            self.refresh_margin(changed.symbol)

    def put_order(self, order: Order) -> None:
        """Add or change a waiting order."""
        self.orders[order.ticket] = order
        self.refresh_margin(order.symbol)

    def finish_order(self, order: Order) -> None:
        """Move an order, waiting or not, to history in its final state."""
        self.orders.pop(order.ticket, None)
        self.history.add_order(msgspec.structs.replace(order, time_done_msc=self.now_msc))
        self.refresh_margin(order.symbol)

    def add_deal(self, deal: Deal) -> None:
        """Book a deal: into history, and its money into the balance."""
        self.history.add_deal(deal)
        self.balance += deal.amount

    def next_order(self) -> int:
        """A ticket no order has had."""
        self.counters.order += 1
        return self.counters.order - 1

    def has_had(self, order: int) -> bool:
        """Whether there was such an order, even if history has forgotten it."""
        return self.account.first_ticket <= order < self.counters.order

    def next_deal(self) -> int:
        """A ticket no deal has had."""
        self.counters.deal += 1
        return self.counters.deal - 1

    def floating(self) -> int:
        """What closing everything now would earn, swaps included."""
        return sum(
            self.valuation.floating(self.symbols[position.symbol], position) + position.swap
            for position in self.positions.values()
        )

    def margin(self) -> int:
        """The margin bound, in minor units."""
        return sum(rounded(micro, MICRO) for micro in self._margins.values())

    def margin_of_symbol(self, symbol: str) -> int:
        """The part of a symbol, in millionths."""
        return self._margins.get(symbol, 0)

    def state(self) -> AccountState:
        """The account's figures at the prices of now."""
        profit, margin = self.floating(), self.margin()
        equity = self.balance + self.credit + profit
        level = Fraction(equity * _PER_CENT, margin) if margin else None
        return AccountState(
            balance=self.balance,
            credit=self.credit,
            profit=profit,
            equity=equity,
            margin=margin,
            margin_free=equity - margin,
            margin_level=level,
            is_margin_call=bool(margin) and equity <= self.threshold(self.account.margin_call),
        )

    def threshold(self, level: Decimal) -> int:
        """The equity at which a level of the margin call or the stop-out is reached."""
        numerator, denominator = ratio(level)
        if self.account.stopout_mode is StopOutMode.MONEY:
            return numerator * self.account.money_unit // denominator
        return self.margin() * numerator // (denominator * _PER_CENT)

    def refresh_margin(self, symbol: str) -> None:
        """Add up a symbol's margin anew."""
        positions, orders = self.positions_of(symbol), self.orders_of(symbol)
        self._margins[symbol] = symbol_margin_micro(self.symbols[symbol], positions, orders)

    def _money_deal(self, kind: DealKind, amount: int) -> Deal:
        return Deal(
            ticket=self.next_deal(),
            order=0,
            symbol="",
            kind=kind,
            entry=Entry.IN,
            reason=Reason.CLIENT,
            time_msc=self.now_msc,
            position=0,
            volume=0,
            price=0,
            magic=0,
            comment="",
            profit=amount,
        )
