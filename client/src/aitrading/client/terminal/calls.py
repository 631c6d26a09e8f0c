"""Calls to a terminal as values: they travel to the process that makes them."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, Final, NamedTuple, Protocol

from aitrading.client.terminal.api import errors
from aitrading.client.terminal.api.errors import ErrorOfTerminal
from aitrading.client.terminal.errors import TERMINAL_UNAVAILABLE
from aitrading.client.terminal.port import AccountInfo, Terminal
from aitrading.core.kit.errors import AitradingError

CONNECTION_LOST_CODE: Final = -10_000
"""The terminal's error numbers from here downwards mean that it cannot be reached."""
NO_CALLS: Final[Mapping[str, object]] = {}


class Lane(IntEnum):
    """What a question is for; of those that wait, the lowest number goes first."""

    ORDERS = 0
    """Changes the account: never repeated, in the order given for each key."""
    TICKS = 1
    """New ticks, always from the same terminal."""
    READS = 2
    """Quick questions about account and symbols."""
    HISTORY = 3
    """May be heavy; never where orders and ticks are, unless there is only one worker."""


class Call(NamedTuple):
    """One function of the package with its arguments."""

    name: str
    arguments: tuple[Any, ...] = ()
    by_name: Mapping[str, object] = NO_CALLS


class Answer(NamedTuple):
    """What a call gave, and what `last_error()` said then."""

    value: Any
    error: ErrorOfTerminal = errors.SUCCESS

    @property
    def is_connection_lost(self) -> bool:
        """Nobody answered, or not in time."""
        return self.error[0] <= CONNECTION_LOST_CODE


class Asks(Protocol):
    """Somebody who makes calls, one after the other, and gives an answer to each."""

    async def ask(self, *calls: Call, lane: Lane = Lane.READS) -> list[Answer]:
        """Raises what keeps the calls from being made, `TERMINAL_…`."""
        ...


class ConnectedTerminal(Asks, Protocol):
    """A terminal that somebody keeps connected."""

    async def connected(self) -> AccountInfo:
        """The account it is logged in to; tries at once, raises why that is not possible."""
        ...


def call(name: str, *arguments: object, **by_name: object) -> Call:
    """A call as one writes it."""
    return Call(name, arguments, by_name)


def answers_of(terminal: Terminal, calls: tuple[Call, ...]) -> list[Answer]:
    """Make the calls; behind one that finds no connection none is tried.

    Raises `TypeError` where the language refuses the arguments.
    """
    answers: list[Answer] = []
    for one in calls:
        if answers and answers[-1].is_connection_lost:
            answers.append(Answer(None, answers[-1].error))
            continue
        value = getattr(terminal, one.name)(*one.arguments, **one.by_name)
        answers.append(Answer(value, terminal.last_error()))
    return answers


def unavailable(error: ErrorOfTerminal) -> AitradingError:
    """What the terminal says about a call that failed."""
    number, text = error
    return TERMINAL_UNAVAILABLE.error(number=number, text=text)
