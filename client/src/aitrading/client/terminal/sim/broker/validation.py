"""The checks of a trade server, in the order it makes them: one row per action."""

from collections.abc import Callable
from typing import Final

from aitrading.client.terminal.sim.broker import price_checks as prices
from aitrading.client.terminal.sim.broker import rule_checks as rules
from aitrading.client.terminal.sim.broker.book import Book
from aitrading.client.terminal.sim.broker.inquiry import Inquiry, inquiry_of
from aitrading.client.terminal.sim.broker.kinds import Action, member
from aitrading.client.terminal.sim.broker.records import Request
from aitrading.client.terminal.sim.broker.retcodes import Retcode

Check = Callable[[Inquiry], Retcode | None]
"""None lets the request pass."""

CHECKS: Final[dict[Action, tuple[Check, ...]]] = {
    Action.DEAL: (
        rules.symbol_matches,
        rules.market_kind,
        rules.account_kind,
        rules.named_position,
        rules.trade_mode,
        rules.session,
        rules.volume,
        rules.close_volume,
        rules.filling,
        prices.quoted,
        prices.deal_price,
        prices.deal_stops,
        prices.position_frozen,
        rules.position_limit,
        rules.volume_limit,
        rules.hedge,
    ),
    Action.PENDING: (
        rules.pending_kind,
        rules.account_kind,
        rules.trade_mode,
        rules.session,
        rules.volume,
        rules.filling,
        prices.quoted,
        prices.pending_price,
        prices.pending_stops,
        rules.expiration,
        rules.order_limit,
        rules.volume_limit,
    ),
    Action.MODIFY: (
        rules.trade_enabled,
        rules.session,
        prices.quoted,
        rules.order_changes,
        prices.order_frozen,
        prices.pending_price,
        prices.pending_stops,
        rules.expiration,
    ),
    Action.REMOVE: (
        rules.trade_enabled,
        rules.session,
        prices.order_frozen,
    ),
    Action.SLTP: (
        rules.symbol_matches,
        rules.trade_enabled,
        rules.session,
        prices.quoted,
        rules.stops_change,
        prices.position_frozen,
        prices.position_stops,
    ),
    Action.CLOSE_BY: (
        rules.close_by_pair,
        rules.trade_enabled,
        rules.session,
        prices.quoted,
        prices.position_frozen,
    ),
}


def asked(request: Request, book: Book) -> Inquiry | Retcode:
    """Look at a request the way a server does; the first failed check answers."""
    early = _switches(book) or _named(request, book)
    inquiry = None if early else inquiry_of(request, book)
    if inquiry is None:
        return early or Retcode.INVALID
    for check in CHECKS[Action(request.action)]:
        refusal = check(inquiry)
        if refusal is not None:
            return refusal
    return inquiry


def _switches(book: Book) -> Retcode | None:
    if not book.is_client_allowed:
        return Retcode.CLIENT_DISABLES_AT
    return None if book.is_server_allowed else Retcode.SERVER_DISABLES_AT


def _named(request: Request, book: Book) -> Retcode | None:
    """Whether what the request names is there."""
    match member(Action, request.action):
        case None:
            return Retcode.INVALID
        case Action.PENDING:
            return None
        case Action.MODIFY | Action.REMOVE:
            return _named_order(request, book)
        case _:
            return _named_positions(request, book)


def _named_order(request: Request, book: Book) -> Retcode | None:
    if request.order in book.orders:
        return None
    return Retcode.ORDER_CHANGED if book.has_had(request.order) else Retcode.INVALID


def _named_positions(request: Request, book: Book) -> Retcode | None:
    named = [request.position] if request.position else []
    if request.action == Action.CLOSE_BY:
        named = [request.position, request.position_by]
    if any(ticket not in book.positions for ticket in named):
        return Retcode.POSITION_CLOSED
    if request.action != Action.SLTP or named:
        return None
    if book.account.is_hedging or request.symbol not in book.symbols:
        return Retcode.INVALID
    return None if book.net_position(request.symbol) else Retcode.POSITION_CLOSED
