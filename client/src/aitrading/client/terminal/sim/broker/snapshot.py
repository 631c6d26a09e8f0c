"""The whole state as plain data, so that a broker can go on in another process."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from aitrading.client.terminal.sim.broker.book import Book, Counters
from aitrading.client.terminal.sim.broker.quotes import Quote
from aitrading.client.terminal.sim.broker.records import Deal, Order, Position
from aitrading.client.terminal.sim.broker.specs import AccountSpec, SymbolSpec

SNAPSHOT_VERSION: Final = 1


class QuoteState(msgspec.Struct, frozen=True, kw_only=True):
    """A quote in a snapshot."""

    bid: int
    ask: int
    last: int
    time_msc: int
    taken: tuple[int, int]


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The whole state; specifications are not in it and must be the same when it is restored."""

    version: int
    now_msc: int
    balance: int
    credit: int
    is_client_allowed: bool
    is_server_allowed: bool
    counters: Counters
    quotes: dict[str, QuoteState]
    positions: list[Position]
    orders: list[Order]
    deals: list[Deal]
    done: list[Order]


def plain(book: Book) -> dict[str, Any]:
    """Lists, dictionaries, texts and whole numbers only; what JSON can carry."""
    return msgspec.to_builtins(_taken(book, with_history=True))


def restored(account: AccountSpec, symbols: Mapping[str, SymbolSpec], data: object) -> Book:
    """The book of which `plain` made the data; raises `msgspec.ValidationError` for other data."""
    snapshot = msgspec.convert(data, Snapshot)
    if snapshot.version != SNAPSHOT_VERSION:
        raise msgspec.ValidationError(f"snapshot version {snapshot.version} is not known")
    return _given(account, symbols, snapshot)


def scratch(book: Book) -> Book:
    """An independent copy without history, to try something out on."""
    return _given(book.account, book.symbols, _taken(book, with_history=False))


def _taken(book: Book, *, with_history: bool) -> Snapshot:
    return Snapshot(
        version=SNAPSHOT_VERSION,
        now_msc=book.now_msc,
        balance=book.balance,
        credit=book.credit,
        is_client_allowed=book.is_client_allowed,
        is_server_allowed=book.is_server_allowed,
        counters=msgspec.structs.replace(book.counters),
        quotes={name: _quote_state(quote) for name, quote in book.quotes.items()},
        positions=list(book.positions.values()),
        orders=list(book.orders.values()),
        deals=book.history.all_deals() if with_history else [],
        done=book.history.all_orders() if with_history else [],
    )


def _given(account: AccountSpec, symbols: Mapping[str, SymbolSpec], snapshot: Snapshot) -> Book:
    book = Book(account, symbols)
    book.now_msc = snapshot.now_msc
    book.balance, book.credit = snapshot.balance, snapshot.credit
    book.is_client_allowed = snapshot.is_client_allowed
    book.is_server_allowed = snapshot.is_server_allowed
    book.counters = snapshot.counters
    for name, state in snapshot.quotes.items():
        quote = book.quotes[name]
        quote.put(state.bid, state.ask, state.last, state.time_msc)
        quote.taken[:] = state.taken
    book.positions = {position.ticket: position for position in snapshot.positions}
    book.orders = {order.ticket: order for order in snapshot.orders}
    book.history.fill(snapshot.deals, snapshot.done)
    for name in symbols:
        book.refresh_margin(name)
    return book


def _quote_state(quote: Quote) -> QuoteState:
    return QuoteState(
        bid=quote.bid,
        ask=quote.ask,
        last=quote.last,
        time_msc=quote.time_msc,
        taken=(quote.taken[0], quote.taken[1]),
    )
