"""Checks of rules and limits; each answers None when it has nothing against the request."""

from typing import Final

from aitrading.client.terminal.sim.broker.calendar import is_open
from aitrading.client.terminal.sim.broker.inquiry import Inquiry
from aitrading.client.terminal.sim.broker.kinds import (
    AccountKind,
    Execution,
    ExpirationMask,
    Filling,
    FillingMask,
    OrderMask,
    Side,
    TimeInForce,
    TradeMode,
    member,
)
from aitrading.client.terminal.sim.broker.records import Position
from aitrading.client.terminal.sim.broker.retcodes import Retcode
from aitrading.client.terminal.sim.broker.specs import ORDERS_MAX, POSITIONS_MAX
from aitrading.client.terminal.sim.broker.units import MSC_PER_DAY, MSC_PER_S

EXPIRATION_S_MAX: Final = 1 << 40
"""Later than any terminal can show; a hostile number, not a date."""
_MASK_OF_FILLING: Final = {
    Filling.FOK: FillingMask.FOK,
    Filling.IOC: FillingMask.IOC,
    Filling.BOC: FillingMask.BOC,
}


def symbol_matches(inquiry: Inquiry) -> Retcode | None:
    """A symbol given beside a position must be the position's."""
    symbol = inquiry.request.symbol
    return Retcode.INVALID if symbol not in {"", inquiry.spec.name} else None


def market_kind(inquiry: Inquiry) -> Retcode | None:
    """A deal buys or sells, and the symbol takes market orders."""
    if not inquiry.kind.is_market:
        return Retcode.INVALID
    allowed = inquiry.spec.order_mode & OrderMask.MARKET
    return None if allowed else Retcode.INVALID_ORDER


def pending_kind(inquiry: Inquiry) -> Retcode | None:
    """A waiting order is of a kind that waits and that the symbol takes."""
    kind = inquiry.kind
    if not kind.is_pending or inquiry.request.position:
        return Retcode.INVALID
    mask = OrderMask.STOP_LIMIT
    if not kind.is_stop_limit:
        mask = OrderMask.LIMIT if kind.is_limit else OrderMask.STOP
    return None if inquiry.spec.order_mode & mask else Retcode.INVALID_ORDER


def account_kind(inquiry: Inquiry) -> Retcode | None:
    """Some symbols are for real accounts only."""
    is_real = inquiry.book.account.kind is AccountKind.REAL
    return None if is_real or not inquiry.spec.only_real else Retcode.ONLY_REAL


def trade_enabled(inquiry: Inquiry) -> Retcode | None:
    """Nothing is traded, changed or removed while the symbol is disabled."""
    is_off = inquiry.spec.trade_mode is TradeMode.DISABLED
    return Retcode.TRADE_DISABLED if is_off else None


def trade_mode(inquiry: Inquiry) -> Retcode | None:
    """What adds exposure must be in a direction the symbol is open for."""
    mode = inquiry.spec.trade_mode
    if mode is TradeMode.DISABLED:
        return Retcode.TRADE_DISABLED
    if mode is TradeMode.FULL or (inquiry.kind.is_market and inquiry.only_closes):
        return None
    if mode is TradeMode.CLOSEONLY:
        return Retcode.CLOSE_ONLY
    if mode is TradeMode.LONGONLY:
        return Retcode.LONG_ONLY if inquiry.side is Side.SELL else None
    return Retcode.SHORT_ONLY if inquiry.side is Side.BUY else None


def session(inquiry: Inquiry) -> Retcode | None:
    """Trades are made within the symbol's sessions."""
    opened = is_open(inquiry.spec.sessions, inquiry.book.now_msc)
    return None if opened else Retcode.MARKET_CLOSED


def volume(inquiry: Inquiry) -> Retcode | None:
    """A volume is the smallest one plus whole steps, up to the largest."""
    spec, asked = inquiry.spec, inquiry.request.volume
    fits = spec.volume_min <= asked <= spec.volume_max
    on_step = (asked - spec.volume_min) % spec.volume_step == 0
    return None if fits and on_step else Retcode.INVALID_VOLUME


def named_position(inquiry: Inquiry) -> Retcode | None:
    """A position named to be closed is the opposite of the deal, free, and the first in line."""
    book, position = inquiry.book, inquiry.position
    if not inquiry.request.position or position is None:
        return None
    if inquiry.closes is None:
        return Retcode.INVALID
    if any(order.position == position.ticket for order in book.orders.values()):
        return Retcode.CLOSE_ORDER_EXIST
    oldest = min(book.positions_of(position.symbol), key=_age)
    if book.account.fifo_close and oldest.ticket != position.ticket:
        return Retcode.FIFO_CLOSE
    return None


def close_volume(inquiry: Inquiry) -> Retcode | None:
    """No more is closed than there is."""
    position = inquiry.position if inquiry.request.position else None
    too_much = position is not None and inquiry.request.volume > position.volume
    return Retcode.INVALID_CLOSE_VOLUME if too_much else None


def filling(inquiry: Inquiry) -> Retcode | None:
    """The filling mode is one of the symbol's; RETURN has no bit and its own rules."""
    spec, kind = inquiry.spec, inquiry.kind
    mode = member(Filling, inquiry.request.filling)
    if mode is None:
        return Retcode.INVALID_FILL
    if mode is Filling.RETURN:
        is_free = kind.is_pending or spec.execution is not Execution.MARKET
        return None if is_free else Retcode.INVALID_FILL
    if mode is Filling.BOC and not (kind.is_limit or kind.is_stop_limit):
        return Retcode.INVALID_FILL
    by_dealer = spec.execution in {Execution.REQUEST, Execution.INSTANT}
    if mode is Filling.FOK and by_dealer:
        return None
    return None if spec.filling_mode & _MASK_OF_FILLING[mode] else Retcode.INVALID_FILL


def expiration(inquiry: Inquiry) -> Retcode | None:
    """The order's life is of a kind the symbol knows, and ends in the future."""
    request, now_msc = inquiry.request, inquiry.book.now_msc
    kind = member(TimeInForce, request.time_kind)
    if kind is None or not inquiry.spec.expiration_mode & ExpirationMask(1 << kind):
        return Retcode.INVALID_EXPIRATION
    ends_msc = request.expiration_s * MSC_PER_S
    is_late = {
        TimeInForce.SPECIFIED: ends_msc <= now_msc,
        TimeInForce.SPECIFIED_DAY: ends_msc // MSC_PER_DAY < now_msc // MSC_PER_DAY,
    }.get(kind, False)
    is_absurd = not 0 <= request.expiration_s <= EXPIRATION_S_MAX
    return Retcode.INVALID_EXPIRATION if is_late or is_absurd else None


def order_limit(inquiry: Inquiry) -> Retcode | None:
    """An account has so many waiting orders at most."""
    limit = inquiry.book.account.limit_orders or ORDERS_MAX
    return Retcode.LIMIT_ORDERS if len(inquiry.book.orders) >= limit else None


def position_limit(inquiry: Inquiry) -> Retcode | None:
    """An account has so many positions at most; enlarging or closing one adds none."""
    book = inquiry.book
    limit = book.account.limit_positions or POSITIONS_MAX
    is_new = inquiry.closes is None and (book.account.is_hedging or inquiry.position is None)
    return Retcode.LIMIT_POSITIONS if is_new and len(book.positions) >= limit else None


def volume_limit(inquiry: Inquiry) -> Retcode | None:
    """A symbol's positions and orders in one direction stay below its limit."""
    spec, side = inquiry.spec, inquiry.side
    if not spec.volume_limit or inquiry.only_closes:
        return None
    positions = inquiry.book.positions_of(spec.name)
    orders = inquiry.book.orders_of(spec.name)
    held = sum(position.volume for position in positions if position.side is side)
    held += sum(order.volume_current for order in orders if order.kind.side is side)
    closed = inquiry.closes.volume if inquiry.closes else 0
    total = held + inquiry.request.volume - closed
    return Retcode.LIMIT_VOLUME if total > spec.volume_limit else None


def hedge(inquiry: Inquiry) -> Retcode | None:
    """Where hedging is prohibited, no position opens against another of the symbol."""
    account = inquiry.book.account
    if not (account.is_hedging and account.hedge_prohibited) or inquiry.closes is not None:
        return None
    others = inquiry.book.positions_of(inquiry.spec.name)
    is_against = any(other.side is not inquiry.side for other in others)
    return Retcode.HEDGE_PROHIBITED if is_against else None


def order_changes(inquiry: Inquiry) -> Retcode | None:
    """A modification modifies."""
    request, order = inquiry.request, inquiry.order
    if order is None or order.kind.is_market:
        return Retcode.INVALID
    before = (order.price, order.stoplimit, order.sl, order.tp)
    after = (request.price, request.stoplimit, request.sl, request.tp)
    life = (request.time_kind, request.expiration_s)
    is_same = before == after and life == (order.time_kind, order.expiration_s)
    return Retcode.NO_CHANGES if is_same else None


def stops_change(inquiry: Inquiry) -> Retcode | None:
    """New stops are other stops."""
    position = inquiry.position
    if position is None:
        return Retcode.POSITION_CLOSED
    asked = (inquiry.request.sl, inquiry.request.tp)
    return Retcode.NO_CHANGES if asked == (position.sl, position.tp) else None


def close_by_pair(inquiry: Inquiry) -> Retcode | None:
    """Two opposite positions of one symbol, on an account that can have them."""
    first, second = inquiry.position, inquiry.position_by
    if not inquiry.book.account.is_hedging or first is None or second is None:
        return Retcode.INVALID
    if first.symbol != second.symbol or first.side is second.side:
        return Retcode.INVALID
    return None if inquiry.spec.order_mode & OrderMask.CLOSE_BY else Retcode.INVALID_ORDER


def _age(position: Position) -> tuple[int, int]:
    return position.time_msc, position.ticket
