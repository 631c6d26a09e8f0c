"""Checks of prices: distances to the market, grids, frozen zones."""

from aitrading.client.terminal.sim.broker.inquiry import Inquiry
from aitrading.client.terminal.sim.broker.kinds import Execution, OrderKind, OrderMask, Side
from aitrading.client.terminal.sim.broker.quotes import Quote
from aitrading.client.terminal.sim.broker.records import Order, Position
from aitrading.client.terminal.sim.broker.retcodes import Retcode
from aitrading.client.terminal.sim.broker.specs import SymbolSpec


def quoted(inquiry: Inquiry) -> Retcode | None:
    """There are prices, and rates for margin and result."""
    spec, quote, valuation = inquiry.spec, inquiry.quote, inquiry.book.valuation
    if not quote.is_known:
        return Retcode.PRICE_OFF
    side, volume = inquiry.side, spec.volume_min
    margin = valuation.margin_micro(spec, side, volume, quote.price(side))
    result = valuation.profit(spec, side, 0, 0)
    return Retcode.PRICE_OFF if margin is None or result is None else None


def deal_price(inquiry: Inquiry) -> Retcode | None:
    """Where the client names the price it must be one; market execution does not look at it."""
    price, execution = inquiry.request.price, inquiry.spec.execution
    if execution in {Execution.MARKET, Execution.EXCHANGE}:
        return Retcode.INVALID_PRICE if price < 0 else None
    return None if _on_grid(inquiry.spec, price) and price > 0 else Retcode.INVALID_PRICE


def deal_stops(inquiry: Inquiry) -> Retcode | None:
    """Stops of a deal keep their distance from the price that would close it."""
    if inquiry.request.position:
        return None  # a deal that closes a position has no use for them
    reference = inquiry.quote.price(inquiry.side.opposite)
    return _stops(inquiry, inquiry.side, reference, inquiry.request.sl, inquiry.request.tp)


def position_stops(inquiry: Inquiry) -> Retcode | None:
    """The same for stops of a position; one that stays as it is may be anywhere."""
    position, request = inquiry.position, inquiry.request
    if position is None:
        return Retcode.POSITION_CLOSED
    sl = request.sl if request.sl != position.sl else 0
    tp = request.tp if request.tp != position.tp else 0
    reference = inquiry.quote.price(position.side.opposite)
    return _stops(inquiry, position.side, reference, sl, tp)


def pending_price(inquiry: Inquiry) -> Retcode | None:
    """A waiting order waits on the right side of the market, at a distance."""
    spec, request, kind = inquiry.spec, inquiry.request, inquiry.kind
    price, market = request.price, inquiry.quote.price(inquiry.side)
    if not (_on_grid(spec, price) and price > 0):
        return Retcode.INVALID_PRICE
    if kind.is_stop_limit and not _is_behind_stop(spec, kind, price, request.stoplimit):
        return Retcode.INVALID_PRICE
    if kind.is_limit and spec.execution is Execution.EXCHANGE:
        return None  # an exchange deals such an order at once
    above = market - price if kind.is_limit else price - market
    return None if _far(spec, above * kind.side.sign) else Retcode.INVALID_PRICE


def pending_stops(inquiry: Inquiry) -> Retcode | None:
    """Stops of a waiting order keep their distance from its own price."""
    request = inquiry.request
    reference = request.stoplimit if inquiry.kind.is_stop_limit else request.price
    return _stops(inquiry, inquiry.side, reference, request.sl, request.tp)


def position_frozen(inquiry: Inquiry) -> Retcode | None:
    """A position whose stop is about to be hit is not touched any more."""
    position = inquiry.position
    touches = inquiry.request.position or inquiry.closes or inquiry.request.volume == 0
    if position is None or not touches:
        return None
    both = (position, inquiry.position_by)
    is_frozen = any(_is_frozen(inquiry.spec, inquiry.quote, one) for one in both if one)
    return Retcode.FROZEN if is_frozen else None


def order_frozen(inquiry: Inquiry) -> Retcode | None:
    """An order whose price is about to be reached is not touched any more."""
    order, level = inquiry.order, inquiry.spec.freeze_level_points
    if order is None or not level or order.kind.is_market or not inquiry.quote.is_known:
        return None
    near = abs(order.price - inquiry.quote.price(order.kind.side)) <= level
    return Retcode.FROZEN if near else None


def is_marketable(order: Order, quote: Quote) -> bool:
    """Whether a limit order could be dealt at once."""
    side = order.kind.side
    return quote.is_known and (order.price - quote.price(side)) * side.sign >= 0


def _stops(inquiry: Inquiry, side: Side, reference: int, sl: int, tp: int) -> Retcode | None:
    spec = inquiry.spec
    if not (_on_grid(spec, sl) and _on_grid(spec, tp)):
        return Retcode.INVALID_STOPS
    if sl and not spec.order_mode & OrderMask.SL:
        return Retcode.INVALID_STOPS
    if tp and not spec.order_mode & OrderMask.TP:
        return Retcode.INVALID_STOPS
    if sl and not _far(spec, (reference - sl) * side.sign):
        return Retcode.INVALID_STOPS
    if tp and not _far(spec, (tp - reference) * side.sign):
        return Retcode.INVALID_STOPS
    return None


def _is_behind_stop(spec: SymbolSpec, kind: OrderKind, price: int, stoplimit: int) -> bool:
    """A buy stop limit buys below the price that wakes it, a sell stop limit sells above."""
    distance = (price - stoplimit) * kind.side.sign
    return stoplimit > 0 and _on_grid(spec, stoplimit) and _far(spec, distance)


def _is_frozen(spec: SymbolSpec, quote: Quote, position: Position) -> bool:
    level, price = spec.freeze_level_points, quote.price(position.side.opposite)
    stops = (position.sl, position.tp)
    return bool(level) and any(stop and abs(price - stop) <= level for stop in stops)


def _far(spec: SymbolSpec, distance: int) -> bool:
    return distance >= max(1, spec.stops_level_points)


def _on_grid(spec: SymbolSpec, price: int) -> bool:
    return price >= 0 and price % spec.tick_size_points == 0
