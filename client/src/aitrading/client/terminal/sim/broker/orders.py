"""How an order begins: from a request, or from the broker itself."""

from typing import Final

import msgspec

from aitrading.client.terminal.sim.broker.calendar import ends_at
from aitrading.client.terminal.sim.broker.inquiry import Inquiry
from aitrading.client.terminal.sim.broker.kinds import (
    Filling,
    OrderKind,
    OrderState,
    Reason,
    TimeInForce,
)
from aitrading.client.terminal.sim.broker.records import Order, Position
from aitrading.client.terminal.sim.broker.units import COMMENT_CHARS_MAX

UNNUMBERED: Final = 0
"""The ticket of an order that may still be refused without a trace."""


def order_of(inquiry: Inquiry) -> Order:
    """The order a request describes, without a ticket yet."""
    request, now_msc = inquiry.request, inquiry.book.now_msc
    time_kind = TimeInForce.GTC
    if inquiry.kind.is_pending:
        time_kind = TimeInForce(request.time_kind)
    return Order(
        ticket=UNNUMBERED,
        symbol=inquiry.spec.name,
        kind=inquiry.kind,
        state=OrderState.PLACED,
        filling=Filling(request.filling),
        time_kind=time_kind,
        volume_initial=request.volume,
        volume_current=request.volume,
        price=request.price,
        stoplimit=request.stoplimit if inquiry.kind.is_stop_limit else 0,
        sl=request.sl,
        tp=request.tp,
        magic=request.magic,
        reason=request.reason,
        comment=request.comment[:COMMENT_CHARS_MAX],
        time_setup_msc=now_msc,
        expiration_msc=ends_at(time_kind, request.expiration_s, now_msc),
        expiration_s=request.expiration_s,
        position=request.position,
    )


def modified(order: Order, inquiry: Inquiry) -> Order:
    """A waiting order with what a request changes."""
    request = inquiry.request
    time_kind = TimeInForce(request.time_kind)
    return msgspec.structs.replace(
        order,
        price=request.price,
        stoplimit=request.stoplimit if order.kind.is_stop_limit else 0,
        sl=request.sl,
        tp=request.tp,
        time_kind=time_kind,
        expiration_s=request.expiration_s,
        expiration_msc=ends_at(time_kind, request.expiration_s, inquiry.book.now_msc),
    )


def closing_order(
    position: Position, *, ticket: int, reason: Reason, price: int, comment: str, now_msc: int
) -> Order:
    """The broker's own order that closes a position."""
    side = position.side.opposite
    return Order(
        ticket=ticket,
        symbol=position.symbol,
        kind=OrderKind(side),
        state=OrderState.PLACED,
        filling=Filling.IOC,
        time_kind=TimeInForce.GTC,
        volume_initial=position.volume,
        volume_current=position.volume,
        price=price,
        stoplimit=0,
        sl=0,
        tp=0,
        magic=position.magic,
        reason=reason,
        comment=comment[:COMMENT_CHARS_MAX],
        time_setup_msc=now_msc,
        position=position.ticket,
    )
