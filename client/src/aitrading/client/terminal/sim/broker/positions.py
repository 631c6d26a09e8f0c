"""What a deal does to a position: one rule for netting and hedging accounts.

A hedging account only differs in which position a deal meets: the one it names, or none.
"""

from collections.abc import Callable

import msgspec

from aitrading.client.terminal.sim.broker.kinds import Entry, Side
from aitrading.client.terminal.sim.broker.records import Order, Position
from aitrading.client.terminal.sim.broker.units import rounded

MarginOf = Callable[[int], int]
"""Margin in millionths for a newly opened volume."""


class Fill(msgspec.Struct, frozen=True, kw_only=True):
    """A deal of an order at one price."""

    order: Order
    price: int
    volume: int
    time_msc: int

    @property
    def side(self) -> Side:
        """Which way the deal goes."""
        return self.order.kind.side


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the position, and what part of it was closed."""

    entry: Entry
    identifier: int
    position: Position | None
    """The position afterwards; None when it is gone."""
    closed_volume: int = 0
    closed_cost: int = 0
    swap: int = 0
    """Accrued swap that the closed part takes along."""


def opened(fill: Fill, volume: int, margin_of: MarginOf, *, identifier: int = 0) -> Position:
    """A new position of an order's deal; its ticket is the order's."""
    order = fill.order
    return Position(
        ticket=order.ticket,
        identifier=identifier or order.ticket,
        symbol=order.symbol,
        side=fill.side,
        volume=volume,
        cost=fill.price * volume,
        margin_micro=margin_of(volume),
        sl=order.sl,
        tp=order.tp,
        magic=order.magic,
        reason=order.reason,
        comment=order.comment,
        time_msc=fill.time_msc,
        time_update_msc=fill.time_msc,
    )


def applied(position: Position | None, fill: Fill, margin_of: MarginOf) -> Effect:
    """Let a deal open, enlarge, reduce, close or reverse the position it meets."""
    if position is None:
        new = opened(fill, fill.volume, margin_of)
        return Effect(entry=Entry.IN, identifier=new.identifier, position=new)
    if position.side is fill.side:
        larger = _enlarged(position, fill, margin_of)
        return Effect(entry=Entry.IN, identifier=position.identifier, position=larger)
    if fill.volume <= position.volume:
        return reduced(position, fill.volume, fill.time_msc)
    whole = reduced(position, position.volume, fill.time_msc)
    rest = fill.volume - position.volume
    reverse = opened(fill, rest, margin_of, identifier=position.identifier)
    return msgspec.structs.replace(whole, entry=Entry.INOUT, position=reverse)


def reduced(position: Position, volume: int, time_msc: int, entry: Entry = Entry.OUT) -> Effect:
    """Close a part, at most the whole; cost, swap and margin are split without a remainder."""
    cost = rounded(position.cost * volume, position.volume)
    swap = rounded(position.swap * volume, position.volume)
    left = position.volume - volume
    smaller = msgspec.structs.replace(
        position,
        volume=left,
        cost=position.cost - cost,
        swap=position.swap - swap,
        margin_micro=rounded(position.margin_micro * left, position.volume),
        time_update_msc=time_msc,
    )
    return Effect(
        entry=entry,
        identifier=position.identifier,
        position=smaller if left else None,
        closed_volume=volume,
        closed_cost=cost,
        swap=swap,
    )


def _enlarged(position: Position, fill: Fill, margin_of: MarginOf) -> Position:
    order = fill.order
    return msgspec.structs.replace(
        position,
        volume=position.volume + fill.volume,
        cost=position.cost + fill.price * fill.volume,
        margin_micro=position.margin_micro + margin_of(fill.volume),
        sl=order.sl or position.sl,
        tp=order.tp or position.tp,
        time_update_msc=fill.time_msc,
    )
