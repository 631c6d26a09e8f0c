"""The broker: ticks and requests go in, results, positions and history come out.

Deterministic and without I/O. Time is the broker's own clock in milliseconds and comes with
each call; it never goes back, and where a caller's does, it stands still.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from aitrading.client.terminal.sim.broker import snapshot
from aitrading.client.terminal.sim.broker.activation import Activation
from aitrading.client.terminal.sim.broker.answers import refused
from aitrading.client.terminal.sim.broker.book import Book
from aitrading.client.terminal.sim.broker.calendar import day_of, is_open, midnight_after
from aitrading.client.terminal.sim.broker.execution import Execution
from aitrading.client.terminal.sim.broker.inquiry import Inquiry
from aitrading.client.terminal.sim.broker.kinds import Action, OrderState, Side
from aitrading.client.terminal.sim.broker.market_orders import MarketOrders
from aitrading.client.terminal.sim.broker.position_requests import PositionRequests
from aitrading.client.terminal.sim.broker.quotes import Quote
from aitrading.client.terminal.sim.broker.records import (
    AccountState,
    CheckResult,
    Deal,
    Order,
    Position,
    Request,
    Result,
)
from aitrading.client.terminal.sim.broker.retcodes import Retcode
from aitrading.client.terminal.sim.broker.rollover import Rollover
from aitrading.client.terminal.sim.broker.specs import AccountSpec, SymbolSpec
from aitrading.client.terminal.sim.broker.stop_out import StopOut
from aitrading.client.terminal.sim.broker.units import MICRO, MSC_PER_DAY, MSC_PER_S, rounded
from aitrading.client.terminal.sim.broker.validation import asked
from aitrading.client.terminal.sim.broker.waiting_orders import WaitingOrders
from aitrading.client.terminal.sim.broker.watch import Watch

DAYS_PER_STEP_MAX: Final = 3_660
"""How many days the clock may pass at once while something is open."""
TICKS_PER_LOOK_MIN: Final = 64
TICKS_PER_LOOK_MAX: Final = 8_192
Points = NDArray[np.int64]


class Broker:
    """One account at one broker."""

    def __init__(self, account: AccountSpec, symbols: Mapping[str, SymbolSpec]) -> None:
        book = Book(account, symbols)
        book.open_account()
        self._take(book)

    @classmethod
    def restored(
        cls, account: AccountSpec, symbols: Mapping[str, SymbolSpec], data: object
    ) -> "Broker":
        """Go on where `snapshot` was taken; raises `msgspec.ValidationError` for other data."""
        broker = cls(account, symbols)
        broker._take(snapshot.restored(account, symbols, data))
        return broker

    def snapshot(self) -> dict[str, Any]:
        """The whole state as plain data, which JSON can carry."""
        return snapshot.plain(self._book)

    @property
    def now_msc(self) -> int:
        """The newest time that was heard of."""
        return self._book.now_msc

    def allow(self, *, client: bool | None = None, server: bool | None = None) -> None:
        """Switch automated trading on or off, in the terminal or for the account."""
        book = self._book
        book.is_client_allowed = book.is_client_allowed if client is None else client
        book.is_server_allowed = book.is_server_allowed if server is None else server

    def requote_next(self) -> None:
        """Answer the next order at market with a requote, however it is executed."""
        self._book.counters.is_requote_due = True

    def quote(self, symbol: str) -> Quote:
        """The newest prices; not to be changed."""
        return self._book.quotes[symbol]

    def on_tick(self, symbol: str, bid: int, ask: int, time_msc: int, last: int = 0) -> None:
        """Take a tick; one that is older than the symbol's newest, or the same, is dropped."""
        quote = self._book.quotes[symbol]
        if time_msc <= quote.time_msc and quote.is_stale(bid, ask, time_msc):
            return
        if time_msc < self._due_msc and quote.is_quiet(bid, ask):
            quote.put(bid, ask, last, time_msc)
            self._book.now_msc = max(self._book.now_msc, time_msc)
            return
        self.advance(time_msc)
        quote.put(bid, ask, last, time_msc)
        self._look(symbol)

    def on_ticks(
        self, symbol: str, bids: Points, asks: Points, times_msc: NDArray[np.int64]
    ) -> None:
        """Take many ticks, oldest first: the same as one after the other, and faster."""
        start, look = 0, TICKS_PER_LOOK_MIN
        while start < len(times_msc):
            window = slice(start, start + look)
            quiet = self._quiet(symbol, bids[window], asks[window], times_msc[window])
            if quiet:
                self._note(
                    symbol, bids[window][:quiet], asks[window][:quiet], times_msc[window][:quiet]
                )
                start += quiet
                look = min(2 * look, TICKS_PER_LOOK_MAX)
            else:
                self._tick(symbol, bids, asks, times_msc, start)
                start += 1
                look = TICKS_PER_LOOK_MIN

    def advance(self, time_msc: int) -> None:
        """Let time pass: orders expire, days end."""
        book = self._book
        if book.now_msc and (book.positions or book.orders):
            if day_of(time_msc) - day_of(book.now_msc) > DAYS_PER_STEP_MAX:
                raise ValueError(f"{time_msc} is more than {DAYS_PER_STEP_MAX} days ahead")
            while self._next_event_msc() <= time_msc:
                book.now_msc = self._next_event_msc()
                self._expire()
                if book.now_msc % MSC_PER_DAY == 0:
                    self._rollover.end_of_day(day_of(book.now_msc) - 1)
                self._watch.everything()
        book.now_msc = max(book.now_msc, time_msc)
        self._due_msc = self._next_event_msc()

    def send(self, request: Request, time_msc: int) -> Result:
        """`order_send`: check the request and carry it out."""
        self.advance(time_msc)
        self._book.counters.requests += 1
        inquiry = Retcode.TOO_MANY_REQUESTS if self._is_too_many() else self._asked(request)
        if isinstance(inquiry, Retcode):
            result = refused(inquiry)
        else:
            result = self._handlers[Action(request.action)](inquiry)
            self._watch.everything()
            self._due_msc = self._next_event_msc()
        return msgspec.structs.replace(result, request_id=self._book.counters.requests)

    def check(self, request: Request) -> CheckResult:
        """`order_check`: whether it would be accepted, and the account's figures afterwards."""
        inquiry = self._asked(request)
        if isinstance(inquiry, Retcode):
            return CheckResult(retcode=inquiry, comment=inquiry.text)
        trial = self._trial()
        retcode = trial.send(request, self._book.now_msc).retcode
        retcode = Retcode.NO_MONEY if retcode is Retcode.NO_MONEY else Retcode.OK
        state = trial.account
        return CheckResult(
            retcode=retcode,
            balance=state.balance,
            equity=state.equity,
            profit=state.profit,
            margin=state.margin,
            margin_free=state.margin_free,
            margin_level=state.margin_level,
            comment=retcode.text,
        )

    def calc_margin(self, side: Side, symbol: str, volume: int, price: int) -> int | None:
        """Margin of a volume by itself, in minor units; None when a rate is missing."""
        micro = self._book.valuation.margin_micro(self._book.symbols[symbol], side, volume, price)
        return None if micro is None else rounded(micro, MICRO)

    def calc_profit(
        self, side: Side, symbol: str, volume: int, price_open: int, price_close: int
    ) -> int | None:
        """The result between two prices, in minor units; None when a rate is missing."""
        return self._book.valuation.profit(
            self._book.symbols[symbol], side, price_open * volume, price_close * volume
        )

    @property
    def account(self) -> AccountState:
        """The account's figures at the prices of now."""
        return self._book.state()

    def positions(self) -> tuple[Position, ...]:
        """What is open, oldest first."""
        return tuple(self._book.positions.values())

    def orders(self) -> tuple[Order, ...]:
        """What waits, oldest first."""
        return tuple(self._book.orders.values())

    def profit_of(self, position: Position) -> int:
        """What closing the position now would earn, without swap, in minor units."""
        return self._book.valuation.floating(self._book.spec_of(position), position)

    def history_deals(self, from_msc: int, to_msc: int) -> tuple[Deal, ...]:
        """The deals of a stretch of time, both ends included, oldest first."""
        return self._book.history.deals(from_msc, to_msc, self._book.now_msc)

    def history_orders(self, from_msc: int, to_msc: int) -> tuple[Order, ...]:
        """The orders that were done in a stretch of time, both ends included, oldest first."""
        return self._book.history.orders(from_msc, to_msc, self._book.now_msc)

    def _take(self, book: Book, *, by_chance: bool = True) -> None:
        execution = Execution(book)
        self._book = book
        self._activation = Activation(book, execution)
        self._stop_out = StopOut(book, self._activation)
        self._rollover = Rollover(book, execution)
        self._watch = Watch(book, self._stop_out)
        market = MarketOrders(book, execution, by_chance=by_chance)
        waiting = WaitingOrders(book, self._activation)
        positions = PositionRequests(book, execution)
        self._handlers: dict[Action, Callable[[Inquiry], Result]] = {
            Action.DEAL: market.deal,
            Action.PENDING: waiting.place,
            Action.MODIFY: waiting.modify,
            Action.REMOVE: waiting.remove,
            Action.SLTP: positions.set_stops,
            Action.CLOSE_BY: positions.close_by,
        }
        self._watch.everything()
        self._due_msc = 0

    def _trial(self) -> "Broker":
        """A copy that can be traded on without consequences, and without chance."""
        book = self._book
        trial = Broker(book.account, book.symbols)
        trial._take(snapshot.scratch(book), by_chance=False)
        return trial

    def _asked(self, request: Request) -> Inquiry | Retcode:
        return asked(request, self._book)

    def _is_too_many(self) -> bool:
        limit, counters = self._book.account.requests_per_s_max, self._book.counters
        second = self._book.now_msc // MSC_PER_S
        counters.in_second = counters.in_second + 1 if second == counters.second else 1
        counters.second = second
        return bool(limit) and counters.in_second > limit

    def _look(self, symbol: str) -> None:
        """Let a tick have its consequences, then say which ticks can have some."""
        book, quote = self._book, self._book.quotes[symbol]
        if not quote.is_known or not is_open(book.symbols[symbol].sessions, book.now_msc):
            return
        happened = self._activation.on_tick(symbol)
        if self._stop_out.run() or happened:
            self._watch.everything()
        else:
            self._watch.refresh(symbol)

    def _quiet(self, symbol: str, bids: Points, asks: Points, times_msc: Points) -> int:
        """How many ticks at the beginning can have no consequences."""
        quote = self._book.quotes[symbol]
        if quote.is_watched_closely:
            return 0
        is_loud = (bids <= quote.bid_below) | (bids >= quote.bid_above)
        is_loud |= (asks <= quote.ask_below) | (asks >= quote.ask_above)
        is_loud |= times_msc >= self._due_msc
        is_loud |= np.diff(times_msc, prepend=quote.time_msc) < 0
        return int(is_loud.argmax()) if is_loud.any() else len(is_loud)

    def _note(self, symbol: str, bids: Points, asks: Points, times_msc: Points) -> None:
        """Take over the last of some quiet ticks, unless they all repeat what is known."""
        quote = self._book.quotes[symbol]
        is_news = (bids != quote.bid) | (asks != quote.ask) | (times_msc != quote.time_msc)
        if is_news.any():
            quote.put(int(bids[-1]), int(asks[-1]), 0, int(times_msc[-1]))
            self._book.now_msc = max(self._book.now_msc, quote.time_msc)

    def _tick(
        self, symbol: str, bids: Points, asks: Points, times_msc: Points, index: int
    ) -> None:
        self.on_tick(symbol, int(bids[index]), int(asks[index]), int(times_msc[index]))

    def _next_event_msc(self) -> int:
        """The day's end, or an order's if that is sooner."""
        soonest = midnight_after(self._book.now_msc)
        for order in self._book.orders.values():
            if order.expiration_msc:
                soonest = min(soonest, order.expiration_msc)
        return soonest

    def _expire(self) -> None:
        for order in list(self._book.orders.values()):
            if order.expiration_msc and order.expiration_msc <= self._book.now_msc:
                expired = msgspec.structs.replace(order, state=OrderState.EXPIRED)
                self._book.finish_order(expired)
