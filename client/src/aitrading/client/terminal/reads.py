"""Answers of the terminal that may be remembered for a moment, and are asked again before they are old.

Nothing that an order depends on is ever remembered: prices, account, positions, orders, checks and
new ticks always come from the terminal. What is remembered has a limit of age, as short as it may
change; a question that comes again and again is asked ahead, so that nobody waits for its answer.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import numpy as np
from typing_extensions import override

from aitrading.client.terminal.calls import Answer, Asks, Call, Lane
from aitrading.core.infrastructure.lifecycle import ComponentState, TaskSet
from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.core.kit.errors import AitradingError, FieldValue
from aitrading.core.logging.optimized_log_router import get_logger

AGES_S: Final = {"symbol_info": 5.0, "symbols_get": 30.0, "copy_rates_from_pos": 1.0}
"""How old an answer may be. Prices within `symbol_info` are as old as it is: ask for ticks."""
ANSWERS_MAX: Final = 1_000
BYTES_MAX: Final = 32 * 1024 * 1024
AHEAD_EVERY_S: Final = 0.2
AHEAD_AFTER: Final = 3
"""Asked so often, a question is asked ahead."""
FORGET_AFTER: Final = 3.0
"""As many of its ages without anybody asking, and it is not asked ahead any more."""
AHEAD_MAX: Final = 64
"""Most questions asked ahead at a time."""

Key = tuple[str, tuple[Any, ...]]
"""A call with named arguments is never remembered."""

_log = get_logger(__name__)


@dataclass(slots=True)
class _Remembered:
    call: Call
    age_ns: int
    answer: Answer
    asked_ns: int
    """When the question was sent: the answer is at least as young."""
    size_bytes: int
    uses: int = 0
    used_ns: int = 0


@dataclass(kw_only=True)
class ReadCounts:
    """What came of the questions that may be remembered."""

    hits: int = 0
    misses: int = 0
    ahead: int = 0
    forgotten: int = 0

    @property
    def rate(self) -> float | None:
        """The part that was answered from memory."""
        total = self.hits + self.misses
        return self.hits / total if total else None


@dataclass
class RememberedReads(Asks):
    """Asks a terminal, or its own memory; `look_ahead` says whether it asks ahead."""

    terminal: Asks
    clock: Clock
    look_ahead: bool = True
    name: str = "terminal-reads"
    counts: ReadCounts = field(default_factory=ReadCounts)
    _known: dict[Key, _Remembered] = field(default_factory=dict)
    _bytes: int = 0
    _forgotten: int = 0
    """How often everything was: what was asked before is not remembered."""
    _state: ComponentState = ComponentState.NEW
    _tasks: TaskSet = field(default_factory=lambda: TaskSet("terminal-reads"))

    @property
    def state(self) -> ComponentState:
        """What it is doing now."""
        return self._tasks.judged(self._state)

    def statistics(self) -> dict[str, FieldValue]:
        """For health."""
        rate = self.counts.rate
        return {
            "answers": len(self._known),
            "bytes": self._bytes,
            "hits": self.counts.hits,
            "misses": self.counts.misses,
            "asked_ahead": self.counts.ahead,
            "hit_percent": None if rate is None else round(100 * rate, 1),
        }

    async def start(self) -> None:
        """Ask ahead from now on."""
        if self.look_ahead:
            self._tasks.keep(
                lambda: self._every(AHEAD_EVERY_S, self.ask_ahead), name="ahead", clock=self.clock
            )
        self._state = ComponentState.HEALTHY

    async def stop(self) -> None:
        """Ask no more, and forget."""
        await self._tasks.close()
        self.forget()
        self._state = ComponentState.STOPPED

    def forget(self) -> None:
        """Everything, and the answers that are on their way: they may be of another account."""
        self._known.clear()
        self._bytes = 0
        self._forgotten += 1

    @override
    async def ask(self, *calls: Call, lane: Lane = Lane.READS) -> list[Answer]:
        """As the terminal answers, from memory where that is allowed; raises as it does."""
        now_ns = self.clock.monotonic_ns()
        known = [self._fresh(call, now_ns) if _may(call, lane) else None for call in calls]
        missing = [call for call, found in zip(calls, known, strict=True) if found is None]
        forgotten = self._forgotten
        self.counts.misses += sum(_may(call, lane) for call in missing)
        fetched = iter(await self.terminal.ask(*missing, lane=lane) if missing else ())
        answers: list[Answer] = []
        for call, found in zip(calls, known, strict=True):
            if found is not None:
                self.counts.hits += 1
                answers.append(found)
                continue
            answers.append(next(fetched))
            if _may(call, lane) and forgotten == self._forgotten:
                self._remember(call, answers[-1], now_ns)
        return answers

    async def ask_ahead(self) -> None:
        """Renew what is asked again and again and would be too old at the next look."""
        now_ns = self.clock.monotonic_ns()
        margin_ns = round(2 * AHEAD_EVERY_S * NS_PER_S)
        due = [
            one.call
            for one in self._known.values()
            if one.uses >= AHEAD_AFTER
            and now_ns - one.used_ns <= FORGET_AFTER * one.age_ns
            and now_ns - one.asked_ns + margin_ns >= one.age_ns
        ][:AHEAD_MAX]
        if not due:
            return
        forgotten = self._forgotten
        try:
            answers = await self.terminal.ask(*due)
        except AitradingError as exc:
            _log.info("nothing was asked ahead", error=exc)
            return
        self.counts.ahead += len(due)
        if forgotten != self._forgotten:
            return
        for call, answer in zip(due, answers, strict=True):
            self._remember(call, answer, now_ns)

    def _fresh(self, call: Call, now_ns: int) -> Answer | None:
        found = self._known.get(_key(call))
        if found is None:
            return None
        found.uses += 1
        found.used_ns = now_ns
        return found.answer if now_ns - found.asked_ns < found.age_ns else None

    def _remember(self, call: Call, answer: Answer, asked_ns: int) -> None:
        """Only what was answered: a failure is asked again by whoever meets it."""
        key = _key(call)
        before = self._known.pop(key, None)
        self._bytes -= before.size_bytes if before else 0
        if answer.value is None:
            return
        one = _Remembered(
            call=call,
            age_ns=round(AGES_S[call.name] * NS_PER_S),
            answer=answer,
            asked_ns=asked_ns,
            size_bytes=_size_bytes(answer.value),
            uses=before.uses if before else 1,
            used_ns=before.used_ns if before else asked_ns,
        )
        self._known[key] = one
        self._bytes += one.size_bytes
        while len(self._known) > ANSWERS_MAX or self._bytes > BYTES_MAX:
            oldest = min(self._known, key=lambda other: self._known[other].used_ns)
            self._bytes -= self._known.pop(oldest).size_bytes
            self.counts.forgotten += 1

    async def _every(self, pause_s: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await self.clock.sleep(pause_s)
            await work()


def _may(call: Call, lane: Lane) -> bool:
    return lane is Lane.READS and call.name in AGES_S and not call.by_name


def _key(call: Call) -> Key:
    return call.name, call.arguments


def _size_bytes(value: Any) -> int:
    if isinstance(value, np.ndarray):
        return int(value.nbytes)
    return len(msgspec.msgpack.encode(value))
