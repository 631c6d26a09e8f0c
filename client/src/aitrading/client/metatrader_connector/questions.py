"""What is asked of a terminal; every function here runs in the terminal's own thread."""

from dataclasses import dataclass
from typing import Final

from aitrading.client.metatrader_connector.rows import Conversion, to_rows
from aitrading.client.metatrader_connector.stream_state import TickStream
from aitrading.client.terminal.api.arrays import TickRows
from aitrading.client.terminal.api.constants import COPY_TICKS_ALL
from aitrading.client.terminal.errors import TERMINAL_SYMBOL_UNKNOWN, TERMINAL_UNAVAILABLE
from aitrading.client.terminal.port import AccountInfo, Terminal
from aitrading.core.kit.errors import AitradingError

CONNECTION_LOST_CODE: Final = -10_000
"""The terminal's error numbers from here downwards mean that it cannot be reached."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What the terminal said about one stream."""

    stream: TickStream
    converted: Conversion
    digits_now: int
    is_complete: bool
    """Fewer ticks than asked for: there are no more."""


def log_in(terminal: Terminal) -> AccountInfo:
    """Connect and tell which account it is; raises `TERMINAL_UNAVAILABLE`."""
    account = terminal.account_info() if terminal.initialize() else None
    if account is None:
        raise unavailable(terminal)
    return account


def select(terminal: Terminal, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Show the wanted symbols, or take the visible ones; gives their names."""
    if not wanted:
        symbols = terminal.symbols_get()
        if symbols is None:
            raise unavailable(terminal)
        wanted = tuple(symbol.name for symbol in symbols if symbol.visible)
    for symbol in wanted:
        if not terminal.symbol_select(symbol, True):
            if terminal.last_error()[0] <= CONNECTION_LOST_CODE:
                raise unavailable(terminal)
            raise TERMINAL_SYMBOL_UNKNOWN.error(symbol=symbol)
    return wanted


def describe(terminal: Terminal, symbol: str) -> tuple[int, int]:
    """Digits and newest tick time (broker milliseconds) of a symbol."""
    info, tick = terminal.symbol_info(symbol), terminal.symbol_info_tick(symbol)
    if info is None or tick is None:
        raise unavailable(terminal)
    return info.digits, tick.time_msc


def ask(terminal: Terminal, streams: list[TickStream], limit: int) -> list[Answer]:
    """Ask about every stream; streams without anything new have no answer."""
    answers: list[Answer] = []
    for stream in streams:
        count = stream.cursor.taken + limit
        ticks = terminal.copy_ticks_from(
            stream.key.symbol, stream.cursor.second, count, COPY_TICKS_ALL
        )
        if ticks is None:
            raise unavailable(terminal)
        if _is_nothing_new(stream, ticks):
            continue
        converted = to_rows(ticks, stream.digits)
        digits_now = stream.digits
        if converted.not_representable and (info := terminal.symbol_info(stream.key.symbol)):
            digits_now = info.digits
        answers.append(
            Answer(
                stream=stream,
                converted=converted,
                digits_now=digits_now,
                is_complete=len(ticks) < count,
            )
        )
    return answers


def _is_nothing_new(stream: TickStream, ticks: TickRows) -> bool:
    """As many ticks as were taken, up to the same moment: not worth converting."""
    taken = stream.cursor.taken
    if len(ticks) != taken:
        return False
    return not taken or int(ticks["time_msc"][-1]) == stream.cursor.last_ms


def unavailable(terminal: Terminal) -> AitradingError:
    """What the terminal says about the call that just failed."""
    number, text = terminal.last_error()
    return TERMINAL_UNAVAILABLE.error(number=number, text=text)
