"""What can go wrong with a terminal, by script and by seed: the same run every time.

A rule says which fault happens in which calls: at the n-th, from a moment on, or by chance. Chance
is drawn from the seed, the rule's number and the count of calls, never from a clock.
"""

from collections import deque
from collections.abc import Callable, Iterable
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from threading import Event
from typing import Annotated, Final, NamedTuple

import msgspec
import numpy as np

from aitrading.client.terminal.errors import FAULT_SCRIPT_INVALID
from aitrading.client.terminal.sim.clock import STEP_S_MAX
from aitrading.client.terminal.sim.market.noise import key_of, uniform

RULES_MAX: Final = 1_000
DURATION_S_MAX: Final = 30 * 24 * 3_600
HAPPENED_KEPT: Final = 10_000


class FaultKind(StrEnum):
    """What goes wrong."""

    IPC_TIMEOUT = "ipc_timeout"
    """The call reaches nobody: None and -10005."""
    REPLY_LOST = "reply_lost"
    """The call is executed, but the caller gets None and -10005."""
    WEDGE = "wedge"
    """The call does not return until it is released, or for `duration_s`; then -10005."""
    SLOW_CALL = "slow_call"
    """The call takes `duration_s` longer."""
    RESTART = "restart"
    """The terminal is gone: -10004 until `initialize`."""
    TRADE_DISABLED = "trade_disabled"
    """Trade requests are refused with 10027, for `duration_s` or until it is lifted."""
    REQUOTE = "requote"
    """The next order at market, this call's if it is one, is answered with 10004 and a price."""
    DISK_FULL = "disk_full"
    """History cannot be written: calls for it fail with -1, for `duration_s` or until lifted."""
    CLOCK_STEP = "clock_step"
    """The terminal's clock jumps by `step_s`."""
    DUPLICATE_TICK = "duplicate_tick"
    """A tick comes twice; `probability` is per tick."""
    OUT_OF_ORDER_TICK = "out_of_order_tick"
    """A tick carries the time of the one before it, and that one its; `probability` per tick."""


TICK_FAULTS: Final = frozenset({FaultKind.DUPLICATE_TICK, FaultKind.OUT_OF_ORDER_TICK})
LASTING_FAULTS: Final = frozenset({FaultKind.TRADE_DISABLED, FaultKind.DISK_FULL})


class FaultRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of a script; exactly one of `on_call`, `at_s` and `probability` says when."""

    kind: FaultKind
    call: str = "*"
    """Mask of function names the rule looks at; for tick faults, of symbols."""
    on_call: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """The how many-th matching call, counted from 1."""
    at_s: Annotated[float, msgspec.Meta(ge=0)] | None = None
    """Seconds after the twin was opened."""
    probability: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    times: Annotated[int, msgspec.Meta(ge=0)] = 1
    """How many matching calls in a row; 0 is without end. Chance has no end by itself."""
    duration_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    step_s: float = 0.0

    def __post_init__(self) -> None:
        said = [self.on_call, self.at_s, self.probability]
        if sum(one is not None for one in said) != 1:
            raise ValueError("exactly one of on_call, at_s and probability is needed")
        if self.kind in TICK_FAULTS and self.probability is None:
            raise ValueError(f"{self.kind} needs a probability")
        if not self.duration_s <= DURATION_S_MAX:
            raise ValueError(f"duration_s is {DURATION_S_MAX} at most")
        if not abs(self.step_s) <= STEP_S_MAX:
            raise ValueError(f"step_s is {STEP_S_MAX} at most, in either direction")


class _Script(msgspec.Struct, forbid_unknown_fields=True):
    fault: list[FaultRule] = []


class Happened(NamedTuple):
    """A fault that happened."""

    call_number: int
    call: str
    kind: FaultKind
    rule: int


class Gate:
    """Where calls wait that are slow or wedged; a script of a test may wait another way."""

    def __init__(self) -> None:
        self._released = Event()

    def wait(self, seconds: float | None) -> None:
        """Wait so long, or until released; None is without end."""
        self._released.wait(seconds)

    def release(self) -> None:
        """Let everybody go on who waits now."""
        released, self._released = self._released, Event()
        released.set()


class Faults:
    """Decides for each call which faults it meets."""

    def __init__(
        self,
        rules: Iterable[FaultRule] = (),
        *,
        seed: int = 0,
        now_us: Callable[[], int],
        gate: Gate | None = None,
    ) -> None:
        self.gate = gate or Gate()
        self.happened: deque[Happened] = deque(maxlen=HAPPENED_KEPT)
        self.calls = 0
        self._seed = seed
        self._now_us = now_us
        self._opened_us = now_us()
        self._rules: list[_Running] = []
        self._lasting: dict[FaultKind, int | None] = {}
        for rule in rules:
            self.add(rule)

    def add(self, rule: FaultRule) -> None:
        """One more rule, from now on; raises `TERMINAL_FAULT_SCRIPT_INVALID` beyond the limit."""
        if len(self._rules) >= RULES_MAX:
            raise FAULT_SCRIPT_INVALID.error(problem=f"more than {RULES_MAX} rules")
        self._rules.append(_Running(rule, key_of(self._seed, len(self._rules))))

    def tick_rules(self, symbol: str) -> list[tuple[int, FaultRule]]:
        """The rules about a symbol's ticks, each with the key of its chance."""
        return [
            (one.key, one.rule)
            for one in self._rules
            if one.rule.kind in TICK_FAULTS and fnmatchcase(symbol, one.rule.call)
        ]

    def met_by(self, call: str) -> list[FaultRule]:
        """The faults this call meets; counts the call."""
        self.calls += 1
        since_s = (self._now_us() - self._opened_us) / 1e6
        met: list[FaultRule] = []
        for number, running in enumerate(self._rules):
            if running.rule.kind not in TICK_FAULTS and running.meets(call, since_s):
                met.append(running.rule)
                self.happened.append(Happened(self.calls, call, running.rule.kind, number))
                self._begin(running.rule)
        return met

    def lasts(self, kind: FaultKind) -> bool:
        """Whether a fault that lasts is on."""
        if kind not in self._lasting:
            return False
        until_us = self._lasting[kind]
        if until_us is not None and self._now_us() >= until_us:
            self.lift(kind)
            return False
        return True

    def lift(self, kind: FaultKind) -> None:
        """End a fault that lasts."""
        self._lasting.pop(kind, None)

    def _begin(self, rule: FaultRule) -> None:
        if rule.kind in LASTING_FAULTS:
            ends_us = self._now_us() + round(rule.duration_s * 1e6)
            self._lasting[rule.kind] = ends_us if rule.duration_s else None


class _Running:
    """A rule and how often it was asked."""

    def __init__(self, rule: FaultRule, key: int) -> None:
        self.rule, self.key = rule, key
        self._asked = self._met = 0

    def meets(self, call: str, since_s: float) -> bool:
        if not fnmatchcase(call, self.rule.call):
            return False
        self._asked += 1
        met = self._is_due(since_s)
        self._met += met
        return met

    def _is_due(self, since_s: float) -> bool:
        rule = self.rule
        if rule.probability is not None:
            return chance(self.key, self._asked) < rule.probability
        if rule.times and self._met >= rule.times:
            return False
        if rule.on_call is not None:
            return self._asked >= rule.on_call
        return since_s >= (rule.at_s or 0.0)


def chance(key: int, number: int) -> float:
    """The n-th draw of a key, from 0 up to but not 1."""
    drawn = np.array([key_of(key, number)], np.uint64)
    return float(uniform(drawn, np.ones(1, np.int64))[0])


def read_faults(path: Path) -> list[FaultRule]:
    """A script: TOML with one `[[fault]]` a rule; raises `TERMINAL_FAULT_SCRIPT_INVALID`."""
    try:
        rules = msgspec.toml.decode(path.read_bytes(), type=_Script).fault
    except (OSError, msgspec.MsgspecError, ValueError) as exc:
        raise FAULT_SCRIPT_INVALID.error(problem=str(exc)) from exc
    if len(rules) > RULES_MAX:
        raise FAULT_SCRIPT_INVALID.error(problem=f"more than {RULES_MAX} rules")
    return rules
