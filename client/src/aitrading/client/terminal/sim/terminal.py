"""A simulated terminal: every function of the package, deterministic by seed, script and clock."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from typing_extensions import override

from aitrading.client.terminal.api import errors
from aitrading.client.terminal.api.arrays import RateRows, TickRows
from aitrading.client.terminal.api.errors import ErrorOfTerminal
from aitrading.client.terminal.api.structs import (
    AccountInfo,
    BookInfo,
    OrderCheckResult,
    OrderSendResult,
    SymbolInfo,
    TerminalInfo,
    Tick,
    TradeDeal,
    TradeOrder,
    TradePosition,
)
from aitrading.client.terminal.port import Terminal
from aitrading.client.terminal.sim.arguments import CallRefusedError
from aitrading.client.terminal.sim.faults import FaultKind, FaultRule, Gate
from aitrading.client.terminal.sim.market.instruments import FOUR_SYMBOLS, SimulatedInstrument
from aitrading.client.terminal.sim.session import TERMINAL_VERSION
from aitrading.client.terminal.sim.world import DEFAULT_TICKS_PER_S, World, WorldOptions
from aitrading.core.kit.clock import Clock

WITHOUT_ACCOUNT: Final = frozenset({"initialize", "login", "version", "terminal_info"})
"""What a terminal answers that is logged in to no account; `shutdown` and `last_error` always do."""
T = TypeVar("T")
F = TypeVar("F")


class SimulatedTerminal(Terminal):
    """Answers as the package does: no exception, but None or False and `last_error()`.

    Functions without arguments refuse any with `TypeError`, functions with arguments by place
    refuse names with `TypeError`; everything else that is wrong is an error of the package.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        seed: int = 0,
        ticks_per_s: float = DEFAULT_TICKS_PER_S,
        instruments: Iterable[SimulatedInstrument] = FOUR_SYMBOLS,
        options: WorldOptions | None = None,
        faults: Iterable[FaultRule] = (),
        gate: Gate | None = None,
    ) -> None:
        self.world = World(
            clock,
            options
            or WorldOptions(seed=seed, ticks_per_s=ticks_per_s, instruments=tuple(instruments)),
            faults=faults,
            gate=gate,
        )
        self._error: ErrorOfTerminal = errors.SUCCESS

    @property
    def is_running(self) -> bool:
        """Whether there is a terminal program to connect to."""
        return self.world.is_running

    # connection

    @override
    def initialize(self, *args: Any, **kwargs: Any) -> bool:
        return self._ask("initialize", lambda: self.world.session.initialize(args, kwargs), False)

    def login(self, *args: Any, **kwargs: Any) -> bool:
        """Log in to an account."""
        return self._ask("login", lambda: self.world.session.login(args, kwargs), False)

    @override
    def shutdown(self) -> None:
        self.world.session.is_connected = False
        self._error = errors.SUCCESS

    @override
    def last_error(self) -> ErrorOfTerminal:
        return self._error

    def version(self) -> tuple[int, int, str] | None:
        """Version, build and release date of the terminal."""
        return self._ask("version", lambda: TERMINAL_VERSION, None)

    def terminal_info(self) -> TerminalInfo | None:
        """The terminal program and its connection."""
        return self._ask("terminal_info", self.world.session.terminal_info, None)

    @override
    def account_info(self) -> AccountInfo | None:
        return self._ask("account_info", self.world.session.account_info, None)

    # symbols and prices

    def symbols_total(self) -> int | None:
        """How many symbols the broker lists."""
        return self._ask("symbols_total", self.world.quotes.symbols_total, None)

    @override
    def symbols_get(self, *args: Any, **kwargs: Any) -> tuple[SymbolInfo, ...] | None:
        return self._ask("symbols_get", lambda: self.world.quotes.symbols_get(args, kwargs), None)

    @override
    def symbol_info(self, *args: Any) -> SymbolInfo | None:
        return self._ask("symbol_info", lambda: self.world.quotes.symbol_info(args), None)

    @override
    def symbol_info_tick(self, *args: Any) -> Tick | None:
        return self._ask(
            "symbol_info_tick", lambda: self.world.quotes.symbol_info_tick(args), None
        )

    @override
    def symbol_select(self, *args: Any) -> bool:
        return self._ask("symbol_select", lambda: self.world.quotes.symbol_select(args), False)

    def market_book_add(self, *args: Any) -> bool:
        """Subscribe to the depth of a symbol."""
        return self._ask("market_book_add", lambda: self.world.quotes.market_book_add(args), False)

    def market_book_get(self, *args: Any) -> tuple[BookInfo, ...] | None:
        """The depth of a subscribed symbol."""
        return self._ask("market_book_get", lambda: self.world.quotes.market_book_get(args), None)

    def market_book_release(self, *args: Any) -> bool:
        """End a subscription."""
        return self._ask(
            "market_book_release", lambda: self.world.quotes.market_book_release(args), False
        )

    @override
    def copy_ticks_from(self, *args: Any) -> TickRows | None:
        return self._ask("copy_ticks_from", lambda: self.world.quotes.copy_ticks_from(args), None)

    def copy_ticks_range(self, *args: Any) -> TickRows | None:
        """Ticks between two moments."""
        return self._ask(
            "copy_ticks_range", lambda: self.world.quotes.copy_ticks_range(args), None
        )

    def copy_rates_from(self, *args: Any) -> RateRows | None:
        """Bars up to a moment."""
        return self._ask("copy_rates_from", lambda: self.world.quotes.copy_rates_from(args), None)

    def copy_rates_from_pos(self, *args: Any) -> RateRows | None:
        """Bars counted from the one that is forming."""
        return self._ask(
            "copy_rates_from_pos", lambda: self.world.quotes.copy_rates_from_pos(args), None
        )

    def copy_rates_range(self, *args: Any) -> RateRows | None:
        """Bars that start between two moments."""
        return self._ask(
            "copy_rates_range", lambda: self.world.quotes.copy_rates_range(args), None
        )

    # trading

    def order_send(self, *args: Any, **kwargs: Any) -> OrderSendResult | None:
        """Send a request to the broker."""
        return self._ask("order_send", lambda: self.world.trading.order_send(args, kwargs), None)

    def order_check(self, *args: Any, **kwargs: Any) -> OrderCheckResult | None:
        """What sending the request would do."""
        return self._ask("order_check", lambda: self.world.trading.order_check(args, kwargs), None)

    def order_calc_margin(self, *args: Any) -> float | None:
        """Margin of a volume by itself."""
        return self._ask(
            "order_calc_margin", lambda: self.world.trading.order_calc_margin(args), None
        )

    def order_calc_profit(self, *args: Any) -> float | None:
        """The result between two prices."""
        return self._ask(
            "order_calc_profit", lambda: self.world.trading.order_calc_profit(args), None
        )

    def orders_total(self) -> int | None:
        """How many orders wait."""
        return self._ask("orders_total", self.world.trading.orders_total, None)

    def orders_get(self, *args: Any, **kwargs: Any) -> tuple[TradeOrder, ...] | None:
        """The waiting orders, or some of them."""
        return self._ask("orders_get", lambda: self.world.trading.orders_get(args, kwargs), None)

    def positions_total(self) -> int | None:
        """How many positions are open."""
        return self._ask("positions_total", self.world.trading.positions_total, None)

    def positions_get(self, *args: Any, **kwargs: Any) -> tuple[TradePosition, ...] | None:
        """The open positions, or some of them."""
        return self._ask(
            "positions_get", lambda: self.world.trading.positions_get(args, kwargs), None
        )

    def history_orders_total(self, *args: Any) -> int | None:
        """How many orders were done in a stretch of time."""
        return self._ask(
            "history_orders_total", lambda: self.world.trading.history_orders_total(args), None
        )

    def history_orders_get(self, *args: Any, **kwargs: Any) -> tuple[TradeOrder, ...] | None:
        """Done orders of a stretch of time, of a position, or one by its ticket."""
        return self._ask(
            "history_orders_get",
            lambda: self.world.trading.history_orders_get(args, kwargs),
            None,
        )

    def history_deals_total(self, *args: Any) -> int | None:
        """How many deals there were in a stretch of time."""
        return self._ask(
            "history_deals_total", lambda: self.world.trading.history_deals_total(args), None
        )

    def history_deals_get(self, *args: Any, **kwargs: Any) -> tuple[TradeDeal, ...] | None:
        """Deals of a stretch of time, of a position, or of an order by its ticket."""
        return self._ask(
            "history_deals_get", lambda: self.world.trading.history_deals_get(args, kwargs), None
        )

    def _ask(self, call: str, answer: Callable[[], T], failure: F) -> T | F:
        """One call: the faults it meets, the connection it needs, the answer and its error."""
        try:
            given = self._answered(call, answer)
        except CallRefusedError as exc:
            self._error = exc.error
            return failure
        self._error = errors.SUCCESS
        return given

    def _answered(self, call: str, answer: Callable[[], T]) -> T:
        met = self._meet(call)
        if call != "initialize" and not self._is_reachable():
            raise CallRefusedError(errors.NO_CONNECTION)
        if call not in WITHOUT_ACCOUNT:
            self.world.session.accounts.require()
        given = answer()
        if FaultKind.REPLY_LOST in met:
            raise CallRefusedError(errors.IPC_TIMEOUT)
        return given

    def _is_reachable(self) -> bool:
        if not self.is_running:
            self.world.session.is_connected = False
        return self.world.session.is_connected

    def _meet(self, call: str) -> Mapping[FaultKind, FaultRule]:
        """Let faults happen before the call reaches the terminal; those after it are given back."""
        if call == "initialize" and not self.is_running:
            raise CallRefusedError(errors.initialize_failed("MetaTrader 5 x64 not found"))
        met = {rule.kind: rule for rule in self.world.faults.met_by(call)}
        gate = self.world.faults.gate
        if (slow := met.get(FaultKind.SLOW_CALL)) is not None:
            gate.wait(slow.duration_s)
        if (wedge := met.get(FaultKind.WEDGE)) is not None:
            gate.wait(wedge.duration_s or None)
            raise CallRefusedError(errors.IPC_TIMEOUT)
        if FaultKind.IPC_TIMEOUT in met:
            raise CallRefusedError(errors.IPC_TIMEOUT)
        if FaultKind.RESTART in met:
            self.world.session.is_connected = False
        if (step := met.get(FaultKind.CLOCK_STEP)) is not None:
            self.world.clock.step(step.step_s)
        if FaultKind.REQUOTE in met:
            self.world.server.broker.requote_next()
        return met
