"""The connections to a terminal: worker processes, asked in the order that matters.

What it promises: a call that does not return costs the worker, never the caller; an order is
handed over at most once, and its caller learns whether that happened; nothing that is heavy goes
in front of an order or of new ticks; no process is left when `stop` has returned.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from typing_extensions import override

from aitrading.client.security.measures import Standing
from aitrading.client.terminal.api import errors as api
from aitrading.client.terminal.calls import (
    Answer,
    Call,
    ConnectedTerminal,
    Lane,
    call,
    unavailable,
)
from aitrading.client.terminal.pool.dispatcher import FIRST, Dispatcher, DispatchRules, Question
from aitrading.client.terminal.pool.errors import ACCOUNT_SWITCHED, CALL_NOT_SENT, CALL_OVERDUE
from aitrading.client.terminal.pool.metrics import TERMINAL_WAIT
from aitrading.client.terminal.pool.opening import Opening
from aitrading.client.terminal.pool.outcome import requires_answers, unanswered
from aitrading.client.terminal.pool.scaling import Scaling, ScalingRules, Volume
from aitrading.client.terminal.pool.settings import TerminalPoolSettings
from aitrading.client.terminal.pool.slot import LogIn, Slot, is_same
from aitrading.client.terminal.pool.witness import STORE_EVERY_S, Witness
from aitrading.client.terminal.port import AccountInfo
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.lifecycle import ComponentState, TaskSet
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.kit.clock import NS_PER_MS, NS_PER_S, Clock
from aitrading.core.kit.errors import AitradingError, FieldValue
from aitrading.core.kit.randomness import Randomness
from aitrading.core.logging.optimized_log_router import get_logger

LOOK_EVERY_S: Final = 0.25
REPEATED: Final = frozenset({Lane.READS, Lane.HISTORY})
"""Asked once more when the worker was lost; ticks are asked for again by who counts them."""
STOP_PATIENCE_S: Final = 3.0
WHOSE: Final = call("account_info")
STORED: Final = frozenset({Lane.TICKS, Lane.HISTORY})
"""Their answers are kept under the account, so each is asked whose it is."""
HEALTH_CALLS: Final = (call("terminal_info"), WHOSE)

_log = get_logger(__name__)


class TerminalPool(ConnectedTerminal):
    """Worker processes with one terminal connection each; the first is opened by `connected`."""

    def __init__(
        self,
        opening: Opening,
        settings: TerminalPoolSettings,
        *,
        home: Path,
        log_in: LogIn,
        clock: Clock,
        randomness: Randomness,
        errors: ErrorHandler,
        metrics: Metrics,
    ) -> None:
        self.name = "terminal-pool"
        self.health_checks = 0
        self.wedges = 0
        self._opening = opening
        self._settings = settings
        self._log_in = log_in
        self._clock = clock
        self._randomness = randomness
        self._errors = errors
        self._metrics = metrics
        terminals = max(1, len(settings.paths))
        self._witness = Witness(home, opening.kind.value, terminals, clock)
        shares = opening.shares_terminal and len(settings.paths) <= 1
        self._dispatcher = Dispatcher(
            DispatchRules(
                queue_max=settings.queue_max,
                is_alone=settings.workers_max == 1,
                shares_terminal=shares,
            )
        )
        self._scaling = Scaling(
            ScalingRules(
                workers_min=settings.workers_min,
                workers_max=max(settings.workers_min, settings.workers_max),
                grow_after_ms=settings.grow_after_ms,
                shrink_after_s=settings.shrink_after_s,
            )
        )
        self._slots = {FIRST: self._slot(FIRST)}
        self._tending: dict[int, asyncio.Task[None]] = {}
        self._futures: dict[Question, asyncio.Future[list[Answer]]] = {}
        self._connecting = asyncio.Lock()
        self._busy_ns = 0
        self._forgets: list[Callable[[], None]] = []
        self._tasks = TaskSet(self.name)
        self._state = ComponentState.NEW

    @property
    def state(self) -> ComponentState:
        """HEALTHY while the first worker has its terminal."""
        if self._state is ComponentState.HEALTHY and self._slots[FIRST].account is None:
            return ComponentState.DEGRADED
        return self._tasks.judged(self._state)

    @property
    def workers(self) -> int:
        """How many can be asked now."""
        return sum(slot.account is not None for slot in self._slots.values())

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes, that of the first worker in front."""
        return tuple(slot.pid for slot in self._slots.values() if slot.pid is not None)

    @property
    def standings(self) -> tuple[Standing, ...]:
        """How the first worker that runs is tied to this process; all are started alike."""
        processes = (slot.process for slot in self._slots.values())
        return next((process.standings for process in processes if process), ())

    def statistics(self) -> dict[str, FieldValue]:
        """For health."""
        oldest_ns = self._dispatcher.oldest_ns()
        now_ns = self._clock.monotonic_ns()
        return {
            "workers": self.workers,
            "wanted": self._scaling.wanted,
            "limit": self._scaling.rules.workers_max,
            "waiting": self._dispatcher.waiting,
            "oldest_wait_ms": (now_ns - oldest_ns) // NS_PER_MS if oldest_ns else 0,
            "restarts": sum(slot.restarts for slot in self._slots.values()),
            "wedges": self.wedges,
            "health_checks": self.health_checks,
            "pids": ",".join(map(str, self.pids)),
        } | self._witness.statistics(self._slots[FIRST])

    def forget_with(self, forget: Callable[[], None]) -> None:
        """Call this whenever earlier answers may be of another account."""
        self._forgets.append(forget)

    async def start(self) -> None:
        """Watch over workers from now on; the first is opened by the first `connected`."""
        self._keep(LOOK_EVERY_S, self._look, "look")
        every_s = self._settings.health_every_s
        self._keep(every_s, self._check_health, "health")
        self._keep(STORE_EVERY_S, self._witness.store, "availability")
        self._state = ComponentState.HEALTHY

    async def stop(self) -> None:
        """Let running calls finish for a moment, then end every process."""
        self._state = ComponentState.STOPPING
        for question in [one for one in self._futures if self._dispatcher.withdraw(one)]:
            self._fail(
                question, CALL_NOT_SENT.error(call=question.name, reason="the client stops")
            )
        if self._futures:
            await asyncio.wait(self._futures.values(), timeout=STOP_PATIENCE_S)
        await self._tasks.close()
        first = self._slots[FIRST].process
        if self._connecting.locked() and first is not None:
            await first.kill()
        async with self._connecting, asyncio.TaskGroup() as ends:
            for slot in self._slots.values():
                ends.create_task(slot.end())
        await self._witness.store()
        self._state = ComponentState.STOPPED

    @override
    async def connected(self) -> AccountInfo:
        """The account of the first worker, which is opened if needed; raises why it cannot be."""
        first = self._slots[FIRST]
        async with self._connecting:
            if self._state is not ComponentState.HEALTHY:
                raise CALL_NOT_SENT.error(call="initialize", reason="the client does not run")
            if first.account is None:
                await self._open(first)
            account = first.account
        if account is None:
            raise unavailable(api.NO_CONNECTION)
        return account

    @override
    async def ask(self, *calls: Call, lane: Lane = Lane.READS, key: str = "") -> list[Answer]:
        """Let a worker make the calls, in one go.

        Raises `TERMINAL_CALL_NOT_SENT` when nothing was executed, `TERMINAL_OUTCOME_UNKNOWN` when
        a request to the broker may have been, `TERMINAL_CALL_LOST` when a question has no answer,
        and `TERMINAL_UNAVAILABLE` when there is no terminal to ask for ticks.
        """
        if self._state is not ComponentState.HEALTHY or self._dispatcher.is_full:
            reason = "too much waits" if self._dispatcher.is_full else "the client stops"
            raise CALL_NOT_SENT.error(call=calls[0].name, reason=reason)
        if lane is Lane.TICKS and self._slots[FIRST].account is None:
            raise unavailable(api.NO_CONNECTION)
        question = Question(lane=lane, calls=calls, queued_ns=self._clock.monotonic_ns(), key=key)
        return await self._answered(question)

    async def _answered(self, question: Question) -> list[Answer]:
        future: asyncio.Future[list[Answer]] = asyncio.get_running_loop().create_future()
        self._futures[question] = future
        self._dispatcher.submit(question)
        self._dispatch()
        try:
            return await future
        finally:
            self._dispatcher.withdraw(question)
            self._futures.pop(question, None)

    def _dispatch(self) -> None:
        for number, question in self._dispatcher.assign():
            slot = self._slots[number]
            slot.began_ns = self._clock.monotonic_ns()
            waited_s = (slot.began_ns - question.queued_ns) / NS_PER_S
            self._metrics.observe(TERMINAL_WAIT, waited_s, lane=question.lane.name.lower())
            self._tasks.start(self._run(slot, question), name=f"ask-{number}")

    async def _run(self, slot: Slot, question: Question) -> None:
        process = slot.process
        if process is None or process.is_gone:
            self._repeat(question)  # first, as `_gone` answers who waits for ticks
            self._gone(slot)
            return self._dispatch()
        if not self._is_wanted(question):
            self._free(slot)
            return self._dispatch()
        try:
            answers = await process.ask(
                (*question.calls, WHOSE) if question.lane in STORED else question.calls,
                timeout_s=self._timeout_s(question.lane),
            )
        except AitradingError as exc:
            self._lost(slot, exc)
            self._unanswered(question, exc)
        except ValueError as exc:
            self._free(slot)
            self._fail(question, exc)
        except asyncio.CancelledError:
            self._fail(question, unanswered(question, "the client stops"))
            raise
        else:
            self._answer(slot, question, answers)
        return self._dispatch()

    def _answer(self, slot: Slot, question: Question, answers: list[Answer]) -> None:
        asked = answers[: len(question.calls)]
        lost = [answer for answer in answers if answer.is_connection_lost]
        if lost:
            exc = unavailable(lost[0].error)
            self._lost(slot, exc)
            if not any(answer.is_connection_lost for answer in asked):
                return self._unanswered(question, exc)
        elif self._is_switched(slot, question, answers):
            exc = ACCOUNT_SWITCHED.error()
            self._switched(slot, exc)
            return self._unanswered(question, exc)
        else:
            self._witness.heard(slot)
            self._free(slot)
            self._part_from_others()
        return self._settle(question, asked)

    def _is_switched(self, slot: Slot, question: Question, answers: list[Answer]) -> bool:
        """Only where the account was asked behind everything else."""
        if question.lane not in STORED and question.calls[-1] != WHOSE:
            return False
        account: AccountInfo | None = answers[-1].value
        return slot.account is not None and not (account and is_same(account, slot.account))

    def _switched(self, slot: Slot, exc: AitradingError) -> None:
        """Somebody logged the terminal in to another account, in its window."""
        self._lost(slot, exc)
        if slot.number == FIRST:
            for number in self._dispatcher.idle:
                self._gone(self._slots[number])
        self._forget()

    def _part_from_others(self) -> None:
        """All that can be asked have the account of the first."""
        first = self._slots[FIRST].account
        for slot in (self._slots[number] for number in self._dispatcher.idle):
            if first and slot.account and not is_same(slot.account, first):
                self._gone(slot)

    def _forget(self) -> None:
        for forget in self._forgets:
            forget()

    def _settle(self, question: Question, answers: list[Answer]) -> None:
        try:
            requires_answers(question, answers)
        except AitradingError as exc:
            self._fail(question, exc)
            return
        future = self._futures.get(question)
        if future is not None and not future.done():
            future.set_result(answers)

    def _unanswered(self, question: Question, exc: AitradingError) -> None:
        """The worker was lost: who asked learns what that means, or the question is repeated."""
        if question.lane in REPEATED and not question.attempts and question.slot is None:
            question.attempts += 1
            self._repeat(question)
        else:
            self._fail(question, unanswered(question, exc.message))

    def _repeat(self, question: Question) -> None:
        """Never for a caller who has gone: an order would be executed for nobody."""
        if self._is_wanted(question):
            self._dispatcher.repeat(question)

    def _is_wanted(self, question: Question) -> bool:
        future = self._futures.get(question)
        return future is not None and not future.done()

    def _fail(self, question: Question, exc: Exception) -> None:
        future = self._futures.get(question)
        if future is not None and not future.done():
            future.set_exception(exc)

    def _free(self, slot: Slot) -> None:
        now_ns = self._clock.monotonic_ns()
        self._busy_ns += now_ns - slot.began_ns
        slot.began_ns = now_ns
        self._dispatcher.done(slot.number)

    def _lost(self, slot: Slot, exc: AitradingError) -> None:
        """The worker has no terminal any more, or is gone itself."""
        self._errors.classify(exc)
        self.wedges += exc.spec is CALL_OVERDUE
        self._witness.failed(slot, exc)
        self._gone(slot)

    def _gone(self, slot: Slot) -> None:
        slot.disturb()
        self._dispatcher.gone(slot.number)
        if slot.number != FIRST:
            return
        for question in [one for one in self._futures if one.lane is Lane.TICKS]:
            if self._dispatcher.withdraw(question):
                self._fail(question, unavailable(api.NO_CONNECTION))

    async def _open(self, slot: Slot) -> None:
        first = self._slots[FIRST].account
        try:
            await slot.open(self._log_in, None if slot.number == FIRST else first)
        except AitradingError as exc:
            self._witness.failed(slot, exc)
            raise
        self._witness.heard(slot)
        process = slot.process
        if process is None:
            return
        if process is not slot.watched:
            slot.watched = process
            self._tasks.start(self._watch(slot, process.wait), name=f"watch-{process.pid}")
        if slot.number == FIRST:
            self._forget()
        self._dispatcher.ready(slot.number)
        self._part_from_others()
        self._dispatch()

    async def _watch(self, slot: Slot, ended: Callable[[], Awaitable[int]]) -> None:
        """Notice the end of a worker that nobody asks at that moment."""
        process = slot.process
        await ended()
        if slot.process is process and slot.number not in self._dispatcher.running:
            self._gone(slot)

    async def _tend(self, slot: Slot) -> None:
        """Keep a further worker: opened, and opened again whenever it is disturbed."""
        try:
            while True:
                try:
                    await self._open(slot)
                except Exception as exc:  # noqa: BLE001 - whatever it was, the place is kept
                    self._errors.classify(exc)
                else:
                    await slot.disturbed.wait()
        finally:
            self._dispatcher.gone(slot.number)
            await slot.end()

    def _keep(self, pause_s: float, work: Callable[[], Awaitable[None]], name: str) -> None:
        """Do this again and again, also after it failed."""
        self._tasks.keep(lambda: self._every(pause_s, work), name=name, clock=self._clock)

    async def _every(self, pause_s: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await self._clock.sleep(pause_s)
            await work()

    async def _look(self) -> None:
        """Fewer or more workers, and an answer to who waited too long."""
        now_ns = self._clock.monotonic_ns()
        for late in self._dispatcher.overdue(now_ns - round(self._settings.wait_s * NS_PER_S)):
            self._fail(late, CALL_NOT_SENT.error(call=late.name, reason="no worker was free"))
        self._adjust(self._scaling.look(self._volume(now_ns)))

    def _volume(self, now_ns: int) -> Volume:
        for number in self._dispatcher.running:
            slot = self._slots[number]
            self._busy_ns += max(0, now_ns - slot.began_ns)
            slot.began_ns = now_ns
        busy_ns, self._busy_ns = self._busy_ns, 0
        others = [slot for slot in self._slots.values() if slot.number != FIRST]
        has_other = any(slot.may_serve for slot in others)
        lacks = bool(self._dispatcher.waits(Lane.HISTORY)) and not has_other
        return Volume(
            now_ns=now_ns,
            oldest_ns=self._dispatcher.oldest_ns(),
            lacks_history=lacks,
            busy_ns=busy_ns,
        )

    def _adjust(self, wanted: int) -> None:
        while len(self._slots) < wanted:
            number = next(one for one in range(wanted) if one not in self._slots)
            self._slots[number] = slot = self._slot(number)
            self._tending[number] = self._tasks.start(self._tend(slot), name=f"tend-{number}")
            _log.info("one worker more", workers=len(self._slots))
        if len(self._slots) > wanted:
            number = max(self._slots)
            if number not in self._dispatcher.running:
                del self._slots[number]
                self._dispatcher.gone(number)
                self._tending.pop(number).cancel()
                _log.info("one worker less", workers=len(self._slots))

    async def _check_health(self) -> None:
        """Ask each worker that nobody asks; the others are judged by their calls."""
        for slot in list(self._slots.values()):
            if slot.number in self._dispatcher.idle:
                question = Question(
                    lane=Lane.READS,
                    calls=HEALTH_CALLS,
                    queued_ns=self._clock.monotonic_ns(),
                    slot=slot.number,
                )
                try:
                    self._witness.looked(slot, await self._answered(question))
                except AitradingError as exc:
                    _log.warning("a connection to the terminal is not well", error=exc)
                else:
                    self.health_checks += 1

    def _timeout_s(self, lane: Lane) -> float:
        settings = self._settings
        if lane is Lane.ORDERS:
            return settings.order_timeout_s
        return settings.history_timeout_s if lane is Lane.HISTORY else settings.call_timeout_s

    def _slot(self, number: int) -> Slot:
        return Slot(number, self._opening, self._settings, self._clock, self._randomness)
