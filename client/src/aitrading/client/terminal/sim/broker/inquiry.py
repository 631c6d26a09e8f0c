"""A request together with everything a check may look at."""

import msgspec

from aitrading.client.terminal.sim.broker.book import Book
from aitrading.client.terminal.sim.broker.kinds import Action, OrderKind, Side, member
from aitrading.client.terminal.sim.broker.quotes import Quote
from aitrading.client.terminal.sim.broker.records import Order, Position, Request
from aitrading.client.terminal.sim.broker.specs import SymbolSpec


class Inquiry(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for. `spec` and `quote` belong to the symbol asked for or implied."""

    request: Request
    book: Book
    spec: SymbolSpec
    quote: Quote
    kind: OrderKind
    position: Position | None
    """The position the request names, or the one of a netting account."""
    position_by: Position | None
    order: Order | None
    """The waiting order the request names."""

    @property
    def side(self) -> Side:
        """Which way the order deals."""
        return self.kind.side

    @property
    def closes(self) -> Position | None:
        """The position that the deal makes smaller; None when it opens or enlarges one."""
        is_opposite = self.position is not None and self.position.side is not self.side
        return self.position if is_opposite else None

    @property
    def only_closes(self) -> bool:
        """Whether no exposure is added."""
        closed = self.closes
        return closed is not None and self.request.volume <= closed.volume


def inquiry_of(request: Request, book: Book) -> Inquiry | None:
    """Look up what the request names; None when it names no symbol and nothing that has one."""
    is_about_order = request.action in {Action.MODIFY, Action.REMOVE}
    order = book.orders.get(request.order) if is_about_order else None
    position = book.positions.get(request.position)
    named = order or position
    spec = book.symbols.get(named.symbol if named else request.symbol)
    kind = order.kind if order else member(OrderKind, request.kind)
    if spec is None or kind is None:
        return None
    if position is None and not request.position and not book.account.is_hedging:
        position = book.net_position(spec.name)
    return Inquiry(
        request=request,
        book=book,
        spec=spec,
        quote=book.quotes[spec.name],
        kind=kind,
        position=position,
        position_by=book.positions.get(request.position_by),
        order=order,
    )
