"""How much of a month each terminal was there, measured and kept on disk.

Up is only what an answer proves: the time between two answers that are near enough to each other.
From the last answer before a failure until the first one after it the terminal was wedged or away.
Time in which nobody asked, because the client did not run or the machine slept, is not measured and
counts for neither.
"""

from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from aitrading.core.infrastructure.files import write_atomically
from aitrading.core.kit.clock import NS_PER_S, Clock, datetime_of_ns
from aitrading.core.logging.optimized_log_router import get_logger
from aitrading.core.security.device_reports import MeasuredTime, TerminalMonth, fitted

FILE_NAME: Final = "availability.json"
TOLD_MONTHS: Final = 3
"""Newest months of each terminal that the server is told of."""
TOLD_MAX: Final = 24
_MONTH_S: Final = 31 * 86_400.0
PROOF_NS: Final = 90 * NS_PER_S
"""Two answers farther apart than that prove nothing about the time between them."""
MONTHS_MAX: Final = 24
TERMINALS_MAX: Final = 32

_log = get_logger(__name__)


class TerminalState(StrEnum):
    """What a terminal does."""

    UP = "up"
    WEDGED = "wedged"
    """It took a call and did not return."""
    AWAY = "away"
    """It could not be reached, or had no broker."""


class MonthOfTerminal(MeasuredTime, msgspec.Struct, kw_only=True):
    """Measured seconds, and how often it failed."""

    up_s: float = 0.0
    wedged_s: float = 0.0
    away_s: float = 0.0
    failures: int = 0

    def add(self, state: TerminalState, elapsed_ns: int) -> None:
        """Count a stretch of time."""
        seconds = elapsed_ns / NS_PER_S
        match state:
            case TerminalState.UP:
                self.up_s += seconds
            case TerminalState.WEDGED:
                self.wedged_s += seconds
            case TerminalState.AWAY:
                self.away_s += seconds


Months = dict[str, MonthOfTerminal]


class _File(msgspec.Struct, kw_only=True):
    terminals: dict[str, Months]


class AvailabilityLedger:
    """Told what happens, it says how much of each month that was; `store` keeps it."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._terminals = read_availability(path)
        self._now: dict[str, tuple[TerminalState, int]] = {}

    def heard(self, terminal: str) -> None:
        """It answered just now."""
        before = self._now.get(terminal)
        now_ns = self._clock.monotonic_ns()
        if before is not None:
            state, since_ns = before
            if state is not TerminalState.UP or now_ns - since_ns <= PROOF_NS:
                self._month(terminal).add(state, now_ns - since_ns)
        self._now[terminal] = (TerminalState.UP, now_ns)

    def failed(self, terminal: str, state: TerminalState) -> None:
        """It did not answer, or is still not there; the time since its last answer counts as that."""
        before = self._now.get(terminal)
        now_ns = self._clock.monotonic_ns()
        if before is None or before[0] is TerminalState.UP:
            self._month(terminal).failures += 1
        if before is not None:
            was, since_ns = before
            counted = state if was is TerminalState.UP else was
            self._month(terminal).add(counted, now_ns - since_ns)
        self._now[terminal] = (state, now_ns)

    def this_month(self, terminal: str) -> MonthOfTerminal:
        """The running month as far as it is measured."""
        return self._month(terminal)

    def encoded(self) -> bytes:
        """What is kept, an outage that lasts included."""
        for terminal, (state, _) in list(self._now.items()):
            if state is not TerminalState.UP:
                self.failed(terminal, state)
        return msgspec.json.encode(_File(terminals=self._terminals))

    def store(self, data: bytes) -> None:
        """Write what `encoded` gave; raises `OSError`."""
        write_atomically(self._path, data)

    def _month(self, terminal: str) -> MonthOfTerminal:
        month = datetime_of_ns(self._clock.now_ns()).strftime("%Y-%m")
        months = self._terminals.get(terminal)
        if months is None:
            while len(self._terminals) >= TERMINALS_MAX:
                self._terminals.pop(next(iter(self._terminals)))
            months = self._terminals[terminal] = {}
        found = months.get(month)
        if found is None:
            found = months[month] = MonthOfTerminal()
            for old in sorted(months)[:-MONTHS_MAX]:
                del months[old]
        return found


def told_availability(path: Path) -> tuple[TerminalMonth, ...]:
    """What the server is told: what is on disk, the newest months first; never raises."""
    told = [
        TerminalMonth(
            terminal=fitted(terminal),
            month=month,
            up_s=round(min(measured.up_s, _MONTH_S), 3),
            wedged_s=round(min(measured.wedged_s, _MONTH_S), 3),
            away_s=round(min(measured.away_s, _MONTH_S), 3),
            failures=measured.failures,
        )
        for terminal, months in read_availability(path).items()
        for month, measured in sorted(months.items())[-TOLD_MONTHS:]
    ]
    told.sort(key=lambda one: one.month, reverse=True)
    return tuple(told[:TOLD_MAX])


def read_availability(path: Path) -> dict[str, Months]:
    """What was measured so far, by terminal and month; never raises.

    A file of another form is set aside; one that cannot be read now is left as it is.
    """
    try:
        data = path.read_bytes()
    except OSError as exc:
        if not isinstance(exc, FileNotFoundError):
            _log.warning("availability was not read", error=exc)
        return {}
    try:
        return msgspec.json.decode(data, type=_File).terminals
    except (msgspec.MsgspecError, UnicodeDecodeError):
        with suppress(OSError):
            path.replace(path.with_suffix(".damaged"))
        return {}
