"""The functions that trade, and those that tell what was traded."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from aitrading.client.terminal.api import constants as c
from aitrading.client.terminal.api import errors
from aitrading.client.terminal.api.structs import (
    OrderCheckResult,
    OrderSendResult,
    TradeDeal,
    TradeOrder,
    TradePosition,
    TradeRequest,
)
from aitrading.client.terminal.sim.arguments import (
    CallRefusedError,
    RequestReader,
    moment_ms,
    named,
    none_unnamed,
    real,
    text,
    unnamed,
    whole,
)
from aitrading.client.terminal.sim.broker.broker import Broker
from aitrading.client.terminal.sim.broker.kinds import Side
from aitrading.client.terminal.sim.broker.records import Deal, Order
from aitrading.client.terminal.sim.broker.units import is_amount, units_of_double
from aitrading.client.terminal.sim.market_watch import MarketWatch
from aitrading.client.terminal.sim.symbol_masks import matches
from aitrading.client.terminal.sim.trade_server import TradeServer
from aitrading.client.terminal.sim.views import (
    check_of,
    deal_of,
    order_of,
    position_of,
    request_of,
    result_of,
)

T = TypeVar("T")
Given = Sequence[object]
Named = Mapping[str, object]
Wanted = Callable[[str, int, int], bool]
"""Whether a record is asked for, by its symbol, its order and its position."""
FOREVER_MS: Final = 1 << 60
_ORDERS: Final = {"symbol": text, "ticket": whole, "group": text}
_HISTORY: Final = {"position": whole, "ticket": whole, "group": text}
_ACTIONS: Final = range(c.ORDER_TYPE_BUY, c.ORDER_TYPE_SELL_STOP_LIMIT + 1)


class TradingCalls:
    """Orders, positions and history of the account."""

    def __init__(self, server: TradeServer, watch: MarketWatch, reader: RequestReader) -> None:
        self._server = server
        self._watch = watch
        self._reader = reader
        self._unit = server.account.money_unit

    def order_send(self, given: Given, by_name: Named) -> OrderSendResult:
        """Send a request to the broker."""
        request = self._reader.read(given, by_name)
        broker, digits = self._asked(request)
        result = broker.send(request_of(request, digits), self._server.now_msc())
        return result_of(result, request, digits)

    def order_check(self, given: Given, by_name: Named) -> OrderCheckResult:
        """What sending the request would do."""
        request = self._reader.read(given, by_name)
        broker, digits = self._asked(request)
        result = broker.check(request_of(request, digits))
        return check_of(result, request, self._unit)

    def order_calc_margin(self, given: Given) -> float:
        """Margin of a volume by itself."""
        action, symbol, volume, price = unnamed(given, whole, text, real, real)
        digits = self._priced(action, symbol)
        _require_amounts(volume, price)
        margin = self._server.current(symbol).calc_margin(
            Side(action % 2), symbol, units_of_double(volume), round(price * 10**digits)
        )
        return self._money(margin)

    def order_calc_profit(self, given: Given) -> float:
        """The result between two prices."""
        action, symbol, volume, opened, closed = unnamed(given, whole, text, real, real, real)
        scale = 10 ** self._priced(action, symbol)
        _require_amounts(volume, opened, closed)
        profit = self._server.current(symbol).calc_profit(
            Side(action % 2),
            symbol,
            units_of_double(volume),
            round(opened * scale),
            round(closed * scale),
        )
        return self._money(profit)

    def orders_total(self) -> int:
        """How many orders wait."""
        return len(self._server.current().orders())

    def orders_get(self, given: Given, by_name: Named) -> tuple[TradeOrder, ...]:
        """The waiting orders, or some of them."""
        none_unnamed(given)
        wanted = _filter(named(by_name, _ORDERS))
        broker = self._server.current()
        return tuple(
            self._order(order, self._price_now(broker, order))
            for order in broker.orders()
            if wanted(order.symbol, order.ticket)
        )

    def positions_total(self) -> int:
        """How many positions are open."""
        return len(self._server.current().positions())

    def positions_get(self, given: Given, by_name: Named) -> tuple[TradePosition, ...]:
        """The open positions, or some of them."""
        none_unnamed(given)
        wanted = _filter(named(by_name, _ORDERS))
        broker = self._server.current()
        return tuple(
            position_of(
                position,
                broker.quote(position.symbol),
                broker.profit_of(position),
                self._server.digits_of(position.symbol),
                self._unit,
            )
            for position in broker.positions()
            if wanted(position.symbol, position.ticket)
        )

    def history_orders_total(self, given: Given) -> int:
        """How many orders were done in a stretch of time."""
        return len(self._done_orders(*unnamed(given, moment_ms, moment_ms)))

    def history_orders_get(self, given: Given, by_name: Named) -> tuple[TradeOrder, ...]:
        """Done orders of a stretch of time, of a position, or one by its ticket."""
        span, wanted = _history(given, by_name)
        return tuple(
            self._order(order, order.price)
            for order in self._done_orders(*span)
            if wanted(order.symbol, order.ticket, order.position)
        )

    def history_deals_total(self, given: Given) -> int:
        """How many deals there were in a stretch of time."""
        return len(self._deals(*unnamed(given, moment_ms, moment_ms)))

    def history_deals_get(self, given: Given, by_name: Named) -> tuple[TradeDeal, ...]:
        """Deals of a stretch of time, of a position, or of an order by its ticket."""
        span, wanted = _history(given, by_name)
        return tuple(
            deal_of(deal, self._server.digits_of(deal.symbol), self._unit)
            for deal in self._deals(*span)
            if wanted(deal.symbol, deal.order, deal.position)
        )

    def _asked(self, request: TradeRequest) -> tuple[Broker, int]:
        """The broker with fresh prices, and the decimals of what the request is about."""
        broker = self._server.current(request.symbol)
        named_ones = [one.symbol for one in broker.orders() if one.ticket == request.order]
        named_ones += [one.symbol for one in broker.positions() if one.ticket == request.position]
        symbol = request.symbol or next(iter(named_ones), "")
        return broker, self._server.digits_of(symbol)

    def _priced(self, action: int, symbol: str) -> int:
        if action not in _ACTIONS:
            raise CallRefusedError(errors.INVALID_PARAMS)
        return self._watch.shown(symbol).spec.digits

    def _money(self, amount: int | None) -> float:
        if amount is None:
            raise CallRefusedError(errors.CALL_FAILED)
        return amount / self._unit

    def _order(self, order: Order, price_current: int) -> TradeOrder:
        return order_of(order, price_current, self._server.digits_of(order.symbol))

    def _price_now(self, broker: Broker, order: Order) -> int:
        return broker.quote(order.symbol).price(order.kind.side)

    def _done_orders(self, from_ms: int, to_ms: int) -> tuple[Order, ...]:
        return self._server.current().history_orders(from_ms, to_ms)

    def _deals(self, from_ms: int, to_ms: int) -> tuple[Deal, ...]:
        return self._server.current().history_deals(from_ms, to_ms)


def _require_amounts(*values: float) -> None:
    if not all(is_amount(value) for value in values):
        raise CallRefusedError(errors.INVALID_PARAMS)


def _filter(wanted: Mapping[str, Any]) -> Callable[[str, int], bool]:
    """The package looks at one of them only: symbol before ticket before group."""
    if "symbol" in wanted:
        return lambda symbol, _: symbol == wanted["symbol"]
    if "ticket" in wanted:
        return lambda _, ticket: ticket == wanted["ticket"]
    group = wanted.get("group", "*")
    return lambda symbol, _: matches(symbol, group)


def _history(given: Given, by_name: Named) -> tuple[tuple[int, int], Wanted]:
    wanted = named(by_name, _HISTORY)
    if "position" in wanted:
        return (0, FOREVER_MS), lambda _symbol, _ticket, position: position == wanted["position"]
    if "ticket" in wanted:
        return (0, FOREVER_MS), lambda _symbol, ticket, _position: ticket == wanted["ticket"]
    from_ms, to_ms = unnamed(given, moment_ms, moment_ms)
    group = wanted.get("group", "*")
    return (from_ms, to_ms), lambda symbol, _ticket, _position: matches(symbol, group)
