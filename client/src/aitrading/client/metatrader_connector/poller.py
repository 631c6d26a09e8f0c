"""Asks the terminal for ticks, round after round."""

from typing import Final
from uuid import UUID

from aitrading.client.metatrader_connector.broker_clock import BrokerClock
from aitrading.client.metatrader_connector.error_codes import (
    STREAMS_FULL,
    SYMBOL_SILENT,
    SYMBOL_WITHOUT_TICK,
)
from aitrading.client.metatrader_connector.journal import TickJournal
from aitrading.client.metatrader_connector.journal_records import Taken, in_groups
from aitrading.client.metatrader_connector.known_clock import known_clock
from aitrading.client.metatrader_connector.market_watch import MarketWatch
from aitrading.client.metatrader_connector.metrics import (
    POLL_PAUSED,
    SYMBOLS_SET_ASIDE,
    TICKS_TAKEN,
)
from aitrading.client.metatrader_connector.new_rows import NewRows
from aitrading.client.metatrader_connector.pace import PollPace
from aitrading.client.metatrader_connector.questions import (
    Reply,
    SymbolFacts,
    ask,
    describe,
    shortened,
    shown_symbols,
)
from aitrading.client.metatrader_connector.set_aside import SHOWN_MAX, Blame, SetAsides, backoff_s
from aitrading.client.metatrader_connector.settings import ConnectorSettings
from aitrading.client.metatrader_connector.stream_state import TickStream
from aitrading.client.terminal.api.errors import ErrorOfTerminal
from aitrading.client.terminal.calls import ConnectedTerminal, unavailable
from aitrading.client.terminal.errors import TERMINAL_UNAVAILABLE
from aitrading.client.terminal.pool.errors import CALL_LOST, CALL_NOT_SENT
from aitrading.client.terminal.port import AccountInfo
from aitrading.core.domain.market import TickArray
from aitrading.core.infrastructure.error_handler import CallSite, ErrorHandler, RecoveryStrategy
from aitrading.core.infrastructure.lifecycle import ComponentState, TaskSet
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.kit.clock import NS_PER_MS, NS_PER_S, Clock, now_ms
from aitrading.core.kit.errors import AitradingError, FieldValue
from aitrading.core.logging.optimized_log_router import get_logger

TERMINAL_RECONNECT: Final = CallSite(
    name="client-terminal",
    strategy=RecoveryStrategy.RECONNECT,
    service="metatrader-connector",
    fault="The terminal closes, logs out or stops answering.",
    description="Connects again with growing pauses; ticks of the meantime come from its history.",
)
LOST: Final = (TERMINAL_UNAVAILABLE, CALL_LOST, CALL_NOT_SENT)
PAUSE_WHEN_FULL_S: Final = 1.0
REATTACH_FIRST_S: Final = 0.1
REATTACH_MAX_S: Final = 30.0
REASON_HIDDEN: Final = "hidden in Market Watch"
REASON_NOT_NAMED: Final = "not among connector.symbols"
FRESH_WITHIN_NS: Final = 5 * NS_PER_S
"""A tick found this soon after the last question has just arrived."""

_log = get_logger(__name__)


class TickPoller:
    """Moves ticks from the terminal into the journal, each exactly once.

    While the spool is full nothing is taken: the terminal's history keeps the ticks. A symbol that
    gives none is set aside and tried again; it goes on where it stopped, and the others never stop.
    """

    def __init__(
        self,
        terminal: ConnectedTerminal,
        journal: TickJournal,
        settings: ConnectorSettings,
        *,
        clock: Clock,
        errors: ErrorHandler,
        metrics: Metrics,
    ) -> None:
        self.name = "terminal-poller"
        self.account: AccountInfo | None = None
        self.paused_by: str | None = None
        self.trouble: AitradingError | None = None
        """Why the terminal is not connected, until it gave a good answer."""
        self.last_tick_ms = 0
        self._terminal = terminal
        self._journal = journal
        self._settings = settings
        self._clock = clock
        self._errors = errors
        self._metrics = metrics
        self._state = ComponentState.NEW
        self._tasks = TaskSet(self.name)
        self._broker_clock = BrokerClock()
        self._newest_ms: dict[UUID, int] = {}
        self._is_in_time = False
        self._round_ns = 0
        self._wanted = self._chosen = settings.symbols
        self._symbols: dict[str, None] = {}
        self._watch = MarketWatch(terminal, settings.symbols, clock)
        self._hidden_ns: dict[UUID, int] = {}
        """Streams whose symbols are not shown any more, and since when; monotonic."""
        self._new = NewRows(terminal, journal, clock, metrics)
        self._aside = SetAsides(clock)
        self._losses = 0
        """How often the terminal was lost since it last gave a good answer."""
        self._blame = Blame()
        self._pace = PollPace(
            shortest_ms=settings.poll_interval_ms, longest_ms=settings.poll_quiet_ms
        )

    @property
    def state(self) -> ComponentState:
        """HEALTHY while every symbol answers and its ticks are stored."""
        return self._tasks.judged(self._state)

    @property
    def broker_clock(self) -> BrokerClock:
        """What is known of the broker's time."""
        return self._broker_clock

    @property
    def broker_offset_s(self) -> int | None:
        """Broker time minus UTC, as far as it is known."""
        return self._broker_clock.offset_s

    @property
    def symbols(self) -> tuple[str, ...]:
        """What is collected, in the broker's spelling."""
        return tuple(symbol for symbol in self._symbols if symbol not in self._aside)

    @property
    def set_aside(self) -> tuple[str, ...]:
        """Symbols that give no ticks now, each with its reason."""
        return self._aside.told

    @property
    def hidden(self) -> tuple[str, ...]:
        """Whose streams wait: Market Watch shows them no more, or others are named."""
        return tuple(
            stream.key.symbol for stream in self._journal.streams if stream.id in self._hidden_ns
        )

    def silent(self) -> dict[UUID, str]:
        """Streams of which no ticks come, and why."""
        told = {
            stream.id: self._aside.why(stream.key.symbol)
            for stream in self._journal.streams
            if self._is_fed(stream) and stream.key.symbol in self._aside
        }
        why = REASON_NOT_NAMED if self._chosen else REASON_HIDDEN
        return told | dict.fromkeys(self._hidden_ns, why)

    def statistics(self) -> dict[str, FieldValue]:
        """For health."""
        account = self.account
        return {
            "account": f"{account.server}:{account.login}" if account else None,
            "symbols": len(self.symbols),
            "set_aside": self._aside.words(),
            "hidden": ", ".join(self.hidden[:SHOWN_MAX]),
            "trouble": self.trouble.message if self.trouble else None,
            "broker_offset_s": self.broker_offset_s,
            "last_tick_ms": self.last_tick_ms or None,
            "paused_by": self.paused_by,
        }

    def collect(self, symbols: tuple[str, ...]) -> None:
        """Collect these from the next round on, each where it stopped; none is every visible one."""
        self._wanted = symbols
        self._watch.configured = symbols

    async def start(self) -> None:
        """Connect to the terminal and ask for ticks, from now on."""
        self._state = ComponentState.STARTING
        self._errors.declare(TERMINAL_RECONNECT)
        self._tasks.start(self._run(), name="poll")
        self._tasks.keep(
            lambda: self._watch.run(lambda: self.account), name="market-watch", clock=self._clock
        )

    async def stop(self) -> None:
        """Ask nothing more."""
        self._state = ComponentState.STOPPING
        await self._tasks.close()
        self._state = ComponentState.STOPPED

    async def _run(self) -> None:
        """Asking never ends in silence: tell what went wrong, wait a little, go on."""
        while True:
            try:
                await self._errors.reconnect(TERMINAL_RECONNECT, self._attach)
                await self._poll_until_lost()
                await self._clock.sleep(self._before_return_s())
            except Exception as exc:  # noqa: BLE001 - whatever it was, a dead feed must not look alive
                self._state = ComponentState.DEGRADED
                await self._pause(self._errors.classify(exc).code)

    async def _pause(self, code: str) -> None:
        self.paused_by = code
        self._metrics.increment(POLL_PAUSED, reason=code)
        await self._clock.sleep(PAUSE_WHEN_FULL_S)

    def _before_return_s(self) -> float:
        """A terminal that is lost as soon as it is found must not be asked without a pause."""
        self._losses += 1
        return backoff_s(self._losses, REATTACH_FIRST_S, REATTACH_MAX_S)

    async def _attach(self) -> None:
        """Connect to the terminal and open a stream per symbol; only ticks tell that all is well."""
        try:
            await self._connect()
        except AitradingError as exc:
            self.trouble = exc
            raise

    async def _connect(self) -> None:
        self.account = await self._terminal.connected()
        self._broker_clock = known_clock(
            self._journal, self.account.server, self._settings.broker_offset_s
        )
        await self._choose()
        _log.info(
            "terminal connected", account=shortened(self.account.login), symbols=len(self.symbols)
        )

    async def _choose(self) -> None:
        """Collect what is wanted now: what settings name, or what Market Watch shows."""
        self._chosen = self._wanted
        symbols = self._chosen or await shown_symbols(self._terminal)
        self._collect(symbols)
        await self._admit([one for one in symbols if self._aside.may_ask(one)])

    async def _follow(self) -> None:
        """Do as Market Watch shows; a wanted symbol that somebody hid is shown again."""
        shown = self._watch.news(self.account)
        if shown is None:
            return
        if self._chosen:
            fresh = [one for one in self.symbols if one not in shown]
        else:
            fresh = [one for one in shown if one not in self._symbols]
            self._collect(shown)
        await self._admit(fresh)

    def _collect(self, symbols: tuple[str, ...]) -> None:
        """These from now on; streams of others wait where they stopped."""
        self._symbols = dict.fromkeys(symbols)
        self._aside.keep(symbols)
        self._metrics.set(SYMBOLS_SET_ASIDE, len(self._aside))
        now_ns, before = self._clock.monotonic_ns(), self._hidden_ns
        self._hidden_ns = {}
        for stream in self._journal.streams:
            if self._is_fed(stream) and stream.key.symbol not in self._symbols:
                self._hidden_ns[stream.id] = before.get(stream.id, now_ns)

    async def _make_room(self) -> None:
        """What waits the longest ends; its place is free when the server has all of it."""
        waiting = [stream for stream in self._journal.streams if stream.id in self._hidden_ns]
        if waiting:
            ends = min(waiting, key=lambda stream: self._hidden_ns[stream.id])
            del self._hidden_ns[ends.id]
            await self._journal.end_stream(ends)

    async def _admit(self, symbols: list[str]) -> None:
        """Open a stream for each of these symbols, or set it aside."""
        account = self.account
        if not symbols or account is None:
            return
        told = await describe(self._terminal, symbols, show=bool(self._chosen))
        known = [one.newest_ms for one in told if isinstance(one, SymbolFacts)]
        broker_now_ms = max([*known, *self._newest_ms.values()], default=0)
        for symbol, facts in zip(symbols, told, strict=True):
            if isinstance(facts, AitradingError):
                self._put_aside(symbol, facts)
                continue
            try:
                await self._open(account, symbol, facts, broker_now_ms)
            except AitradingError as exc:
                if exc.spec not in {STREAMS_FULL, SYMBOL_WITHOUT_TICK}:
                    raise
                self._put_aside(symbol, exc)
                if exc.spec is STREAMS_FULL:
                    await self._make_room()
            else:
                self._aside.try_again(symbol)

    def _blamed(self, symbol: str, error: ErrorOfTerminal) -> AitradingError:
        """A terminal that is lost at one symbol again and again may be well without it."""
        if self._blame.falls_on(symbol) or symbol in self._aside:
            number, text = error
            self._put_aside(symbol, SYMBOL_SILENT.error(symbol=symbol, number=number, text=text))
        return unavailable(error)

    def _put_aside(self, symbol: str, why: AitradingError) -> None:
        if self._aside.put(symbol, why):
            self._errors.classify(why)
            _log.warning("a symbol is set aside", symbol=symbol, error_code=why.code)
        self._metrics.set(SYMBOLS_SET_ASIDE, len(self._aside))

    def _heard(self, streams: list[TickStream], refused: set[str]) -> None:
        """Whoever answered is collected like the others again."""
        for symbol in {stream.key.symbol for stream in streams} - refused:
            if self._aside.well(symbol):
                _log.info("a symbol gives ticks again", symbol=symbol)
                self._metrics.set(SYMBOLS_SET_ASIDE, len(self._aside))

    async def _open(
        self, account: AccountInfo, symbol: str, facts: SymbolFacts, broker_now_ms: int
    ) -> None:
        """A symbol without a tick begins now; raises `TERMINAL_SYMBOL_WITHOUT_TICK` if that is unknown."""
        stream = self._journal.active(account.server, account.login, symbol)
        if stream is None:
            begins_ms = facts.newest_ms or broker_now_ms
            if not begins_ms:
                raise SYMBOL_WITHOUT_TICK.error(symbol=symbol)
            await self._journal.open_stream(
                broker=account.server,
                login=account.login,
                symbol=symbol,
                digits=facts.digits,
                second=max(0, begins_ms // 1_000 - self._settings.backfill_s),
            )
        elif stream.digits != facts.digits:
            await self._journal.reopen_stream(stream, facts.digits)

    async def _poll_until_lost(self) -> None:
        try:
            while True:
                complete = await self._round()
                if complete:
                    took_ns = self._clock.monotonic_ns() - self._round_ns
                    await self._clock.sleep(self._pace.pause_s(took_ns))
        except AitradingError as exc:
            if exc.spec not in LOST:
                raise
            self._errors.classify(exc)
            self.trouble = exc
            self._state = ComponentState.DEGRADED

    async def _round(self) -> bool:
        """Ask once about every stream; False when there is more to fetch at once."""
        if self._wanted != self._chosen:
            await self._choose()
            _log.info("other symbols are collected", symbols=len(self.symbols))
        await self._follow()
        await self._admit(self._aside.due())
        streams = [stream for stream in self._journal.streams if self._is_mine(stream)]
        before_ns, self._round_ns = self._round_ns, self._clock.monotonic_ns()
        self._is_in_time = self._round_ns - before_ns <= FRESH_WITHIN_NS
        told = await ask(self._terminal, streams, self._settings.poll_ticks)
        if told.lost is not None:
            raise self._blamed(*told.lost)
        answers, receive_ns = told.replies, self._clock.now_ns()
        for stream, why in told.refused:
            self._put_aside(stream.key.symbol, why)
        if self._aside:
            self._heard(streams, {stream.key.symbol for stream, _ in told.refused})
        self._pace.note(found=bool(answers))
        found = [(answer, await self._rows_or_none(answer)) for answer in answers]
        for answer in answers:
            self._learn_offset(answer, receive_ns)
        if self._broker_clock.offset not in {None, self._journal.offset}:
            await self._journal.note_offset(self._broker_clock.offset)
        taken: list[Taken] = []
        is_complete = True
        for answer, every in found:
            rows = await self._new.after_unknown_nights(
                answer.stream, every, self._broker_clock.offset
            )
            certain, offset_s = self._broker_clock.certain(rows["event_ms"])
            if certain:
                taken.append(
                    Taken(
                        stream=self._journal.find(answer.stream.id) or answer.stream,
                        rows=rows[:certain],
                        receive_ns=receive_ns,
                        broker_offset_s=offset_s,
                    )
                )
                is_complete &= answer.is_complete and certain == len(rows)
        if await self._store(taken):
            self._judge(has_answers=bool(told.answered))
        return is_complete

    def _is_mine(self, stream: TickStream) -> bool:
        symbol = stream.key.symbol
        return symbol in self._symbols and self._aside.may_ask(symbol) and self._is_fed(stream)

    def _is_fed(self, stream: TickStream) -> bool:
        """By the account that the terminal is logged in to."""
        account, key = self.account, stream.key
        return (
            account is not None
            and stream.active
            and (key.broker, key.login) == (account.server, account.login)
        )

    async def _store(self, taken: list[Taken]) -> bool:
        stored = 0
        try:
            for group in in_groups(taken, self._journal.group_ticks_max):
                stored += await self._journal.append(group)
        except AitradingError as exc:
            self._errors.classify(exc)
            self._state = ComponentState.DEGRADED
            await self._pause(exc.code)
            return False
        if stored:
            self.last_tick_ms = now_ms(self._clock)
            self._metrics.increment(TICKS_TAKEN, stored)
        return True

    def _judge(self, *, has_answers: bool) -> None:
        """Only who gave a good answer is well, and only all of them together."""
        self.paused_by = None
        self.trouble = None
        if has_answers:
            self._losses, self._blame = 0, Blame()
        is_well = has_answers and not self._aside
        self._state = ComponentState.HEALTHY if is_well else ComponentState.DEGRADED

    async def _rows_or_none(self, answer: Reply) -> TickArray:
        """What is new of one symbol; nothing when there is no room for its later epoch."""
        try:
            return await self._new.of(answer, self._broker_clock.offset)
        except AitradingError as exc:
            if exc.spec is not STREAMS_FULL:
                raise
            self._put_aside(answer.stream.key.symbol, exc)
            return answer.converted.rows[:0]

    def _learn_offset(self, answer: Reply, receive_ns: int) -> None:
        """A tick that was not there a moment ago tells the broker's time of now."""
        stream_id, newest_ms = answer.stream.id, answer.newest_ms
        seen_ms = self._newest_ms.get(stream_id)
        self._newest_ms[stream_id] = max(newest_ms, seen_ms or 0)
        arrived = seen_ms is not None and newest_ms > seen_ms
        if arrived and self._is_in_time:
            self._broker_clock.arrived(newest_ms, receive_ns // NS_PER_MS)
