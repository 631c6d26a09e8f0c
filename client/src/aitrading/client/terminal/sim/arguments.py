"""How the package reads arguments: by exact type, and with its own words when one is wrong."""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

from aitrading.client.terminal.api import errors
from aitrading.client.terminal.api.errors import ErrorOfTerminal
from aitrading.client.terminal.api.structs import TradeRequest

T = TypeVar("T")
_WORD: Final = 1 << 64
MOMENT_MAX_S: Final = 1 << 40
COMMENT_CHARS: Final = 27
"""Longest comment by default: builds refuse from 28 to 32 characters on; 27 pass with all."""
_COMMENT_NEVER: Final = frozenset("[]")


class CallRefusedError(Exception):
    """A call that answers None or False; it never leaves the terminal."""

    def __init__(self, error: ErrorOfTerminal) -> None:
        super().__init__(*error)
        self.error = error


Reader = Callable[[object], T | None]
"""Gives the value, or None when it has the wrong type."""


def whole(value: object) -> int | None:
    """A Python int; numpy's integers are none."""
    return int(value) if isinstance(value, int) and abs(value) < _WORD else None


def real(value: object) -> float | None:
    """A float, to which numpy's double belongs, or an int."""
    try:
        return float(value) if isinstance(value, int | float) else None
    except OverflowError:  # an int that no double can hold
        return None


def text(value: object) -> str | None:
    """A str."""
    return value if isinstance(value, str) else None


def moment_ms(value: object) -> int | None:
    """Broker milliseconds of seconds since 1970 or of a datetime.

    A datetime without a zone is read in the zone of this process, as the package does.
    """
    if isinstance(value, datetime):
        seconds = _timestamp(value)
        return None if seconds is None else round(seconds * 1_000)
    seconds = real(value)
    if seconds is None or not math.isfinite(seconds) or abs(seconds) > MOMENT_MAX_S:
        return None
    return int(seconds) * 1_000


def unnamed(given: Sequence[object], *readers: Reader[Any], optional: int = 0) -> list[Any]:
    """Read arguments by place; the last `optional` of them may be left out."""
    if not len(readers) - optional <= len(given) <= len(readers):
        raise CallRefusedError(errors.INVALID_ARGUMENT_COUNT)
    return [_by_place(place, value, readers[place]) for place, value in enumerate(given)]


def named(given: Mapping[str, object], readers: Mapping[str, Reader[Any]]) -> dict[str, Any]:
    """Read arguments by name; raises for a name that is none of the function's."""
    if not given.keys() <= readers.keys():
        raise CallRefusedError(errors.INVALID_ARGUMENTS)
    return {name: _by_name(name, value, readers[name]) for name, value in given.items()}


def none_unnamed(given: Sequence[object]) -> None:
    """Raise when there are arguments by place."""
    if given:
        raise CallRefusedError(errors.UNNAMED_NOT_ALLOWED)


def _by_place(place: int, value: object, reader: Reader[T]) -> T:
    read = reader(value)
    if read is None:
        raise CallRefusedError(errors.invalid_unnamed(place))
    return read


def _by_name(name: str, value: object, reader: Reader[T]) -> T:
    read = reader(value)
    if read is None:
        raise CallRefusedError(errors.invalid_argument(name))
    return read


def _expiration_s(value: object) -> int | None:
    if isinstance(value, datetime):
        seconds = _timestamp(value)
        return None if seconds is None else int(seconds)
    return whole(value)


def _timestamp(moment: datetime) -> float | None:
    """Seconds since 1970; None for a date whose zone leads out of the calendar."""
    try:
        return moment.timestamp()
    except (OverflowError, ValueError, OSError):  # Windows refuses dates before 1970
        return None


class RequestReader:
    """Reads the dictionary of `order_send` and `order_check`."""

    def __init__(self, comment_chars: int = COMMENT_CHARS) -> None:
        self._comment_chars = comment_chars
        self._readers: dict[str, Reader[Any]] = {
            field: {int: whole, float: real, str: self._short}[kind]
            for field, kind in TradeRequest.__annotations__.items()
        } | {"symbol": text, "expiration": _expiration_s}

    def read(self, given: Sequence[object], by_name: Mapping[str, object]) -> TradeRequest:
        """The request, zero or empty where nothing was said; raises what the package answers."""
        request = self._request(given, by_name)
        read = {
            name: _by_name(name, request[name], reader)
            for name, reader in self._readers.items()
            if name in request
        }
        empty = {name: kind() for name, kind in TradeRequest.__annotations__.items()}
        return TradeRequest(**(empty | read))

    def _request(
        self, given: Sequence[object], by_name: Mapping[str, object]
    ) -> Mapping[str, object]:
        if len(given) + bool(by_name) != 1:
            raise CallRefusedError(errors.INVALID_ARGUMENT_COUNT)
        request = given[0] if given else by_name.get("request", by_name)
        if not isinstance(request, dict):
            raise CallRefusedError(errors.invalid_unnamed(0))
        return request  # pyright: ignore[reportUnknownVariableType] - keys are looked up by name

    def _short(self, value: object) -> str | None:
        comment = text(value)
        if comment is None or len(comment) > self._comment_chars:
            return None
        return None if _COMMENT_NEVER & set(comment) else comment
