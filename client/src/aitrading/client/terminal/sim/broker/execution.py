"""Deals: what a fill books into positions, history and balance, and whether it can be afforded."""

from collections.abc import Iterable

import msgspec

from aitrading.client.terminal.sim.broker.book import Book
from aitrading.client.terminal.sim.broker.kinds import DealKind, Entry, OrderKind, Reason
from aitrading.client.terminal.sim.broker.margin import symbol_margin_micro
from aitrading.client.terminal.sim.broker.orders import closing_order
from aitrading.client.terminal.sim.broker.positions import (
    Effect,
    Fill,
    MarginOf,
    applied,
    reduced,
)
from aitrading.client.terminal.sim.broker.quotes import Take
from aitrading.client.terminal.sim.broker.records import Deal, Order, Position
from aitrading.client.terminal.sim.broker.specs import SymbolSpec
from aitrading.client.terminal.sim.broker.units import LOT, MICRO, ratio, rounded


class Execution:
    """Books deals; nothing else changes positions or balance."""

    def __init__(self, book: Book) -> None:
        self._book = book

    def fill(self, order: Order, takes: Iterable[Take]) -> tuple[Order, list[Deal]]:
        """Deal what the market gives; returns the order with what is left of it.

        An order that closes a position of a hedging account stops where the position ends.
        """
        deals = list[Deal]()
        for price, offered in takes:
            target = self.target(order)
            volume = min(offered, order.volume_current)
            if self.is_closing(order):
                volume = min(volume, target.volume if target else 0)
            if not volume:
                break
            deals.append(self._deal(order, target, price, volume))
            order = msgspec.structs.replace(
                order,
                volume_current=order.volume_current - volume,
                position=deals[-1].position if target is None else order.position,
            )
        return order, deals

    def close_by(self, order: Order, first: Position, second: Position) -> list[Deal]:
        """Close two opposite positions by each other at the second's opening price."""
        volume, now_msc = min(first.volume, second.volume), self._book.now_msc
        price = rounded(second.cost, second.volume)
        closed_second = reduced(second, volume, now_msc, Entry.OUT_BY)
        closed_first = reduced(first, volume, now_msc, Entry.OUT_BY)
        return [
            self._book_effect(
                order, first, closed_first, price, volume, closed_second.closed_cost
            ),
            self._book_effect(
                order, second, closed_second, price, volume, closed_second.closed_cost
            ),
        ]

    def reopen(self, position: Position, close_at: int, open_at: int) -> None:
        """Close a position at the day's end and open it again elsewhere, under its old ticket."""
        order = closing_order(
            position,
            ticket=0,
            reason=Reason.ROLLOVER,
            price=close_at,
            comment="",
            now_msc=self._book.now_msc,
        )
        volume, cost = position.volume, open_at * position.volume
        effect = reduced(position, volume, self._book.now_msc)
        again = msgspec.structs.replace(position, cost=cost, swap=0)
        out = msgspec.structs.replace(effect, position=again)
        self._book_effect(order, position, out, close_at, volume, close_at * volume)
        back = msgspec.structs.replace(order, kind=OrderKind(position.side))
        entry = Effect(entry=Entry.IN, identifier=position.identifier, position=again)
        self._book_effect(back, again, entry, open_at, volume, 0)

    def target(self, order: Order) -> Position | None:
        """The position the order's next deal meets."""
        if not self._book.account.is_hedging:
            return self._book.net_position(order.symbol)
        return self._book.positions.get(order.position or order.ticket)

    def is_closing(self, order: Order) -> bool:
        """Whether the order may only close the position it names."""
        return self._book.account.is_hedging and order.position not in {0, order.ticket}

    def lacks_money(self, order: Order, takes: Iterable[Take]) -> bool:
        """Whether the deals would bind more margin than is free."""
        spec, book = self._book.spec_of(order), self._book
        takes = tuple(takes)
        before = book.margin_of_symbol(order.symbol)
        after = self._margin_afterwards(order, takes)
        if after <= before:
            return False
        if spec.margin_initial and spec.margin_maintenance:
            after += self._surcharge(spec, order, takes)
        needed = rounded(after, MICRO) - rounded(before, MICRO)
        return needed > book.state().margin_free

    def _margin_afterwards(self, order: Order, takes: Iterable[Take]) -> int:
        spec, target = self._book.spec_of(order), self.target(order)
        others = [p for p in self._book.positions_of(order.symbol) if p != target]
        for price, volume in takes:
            fill = Fill(order=order, price=price, volume=volume, time_msc=self._book.now_msc)
            target = applied(target, fill, self._margin_of(spec, order, price)).position
        waiting = [o for o in self._book.orders_of(order.symbol) if o.ticket != order.ticket]
        positions = others if target is None else [*others, target]
        return symbol_margin_micro(spec, positions, waiting)

    def _surcharge(self, spec: SymbolSpec, order: Order, takes: Iterable[Take]) -> int:
        """What opening asks for beyond what keeping asks for."""
        worth, side = self._book.valuation.margin_micro, order.kind.side
        return sum(
            (worth(spec, side, volume, price) or 0)
            - (worth(spec, side, volume, price, is_open=True) or 0)
            for price, volume in takes
        )

    def _deal(self, order: Order, target: Position | None, price: int, volume: int) -> Deal:
        book, spec = self._book, self._book.spec_of(order)
        fill = Fill(order=order, price=price, volume=volume, time_msc=book.now_msc)
        effect = applied(target, fill, self._margin_of(spec, order, price))
        book.quotes[order.symbol].taken[fill.side] += volume
        proceeds = price * effect.closed_volume
        return self._book_effect(order, target, effect, price, volume, proceeds)

    def _book_effect(
        self,
        order: Order,
        target: Position | None,
        effect: Effect,
        price: int,
        volume: int,
        proceeds: int,
    ) -> Deal:
        book, spec = self._book, self._book.spec_of(order)
        profit = 0
        if target is not None and effect.closed_volume:
            profit = book.valuation.profit(spec, target.side, effect.closed_cost, proceeds) or 0
        is_by = order.kind is OrderKind.CLOSE_BY and target is not None
        side = target.side.opposite if is_by and target else order.kind.side
        deal = Deal(
            ticket=book.next_deal(),
            order=order.ticket,
            symbol=order.symbol,
            kind=DealKind(side),
            entry=effect.entry,
            reason=order.reason,
            time_msc=book.now_msc,
            position=effect.identifier,
            volume=volume,
            price=price,
            magic=order.magic,
            comment=order.comment,
            profit=profit,
            swap=effect.swap,
            commission=_commission(spec, volume, book.account.money_unit),
        )
        book.add_deal(deal)
        book.put_position(target, effect.position)
        return deal

    def _margin_of(self, spec: SymbolSpec, order: Order, price: int) -> MarginOf:
        def margin_of(volume: int) -> int:
            side, worth = order.kind.side, self._book.valuation.margin_micro
            return worth(spec, side, volume, price, is_open=True) or 0

        return margin_of


def _commission(spec: SymbolSpec, volume: int, money_unit: int) -> int:
    numerator, denominator = ratio(spec.commission_per_lot)
    return -rounded(numerator * volume * money_unit, denominator * LOT)
