"""What is asked of a terminal."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from aitrading.client.metatrader_connector.error_codes import SYMBOL_SILENT
from aitrading.client.metatrader_connector.rows import Conversion, to_rows
from aitrading.client.metatrader_connector.stream_state import TickStream
from aitrading.client.terminal.api.arrays import TickRows
from aitrading.client.terminal.api.constants import (
    COPY_TICKS_ALL,
    RES_E_AUTH_FAILED,
    RES_E_INVALID_VERSION,
    RES_E_NOT_FOUND,
)
from aitrading.client.terminal.api.errors import ErrorOfTerminal
from aitrading.client.terminal.calls import Answer, Asks, Call, Lane, call, unavailable
from aitrading.client.terminal.errors import TERMINAL_SYMBOL_UNKNOWN
from aitrading.client.terminal.port import AccountInfo
from aitrading.core.kit.errors import AitradingError

OF_THE_TERMINAL: Final = frozenset({RES_E_INVALID_VERSION, RES_E_AUTH_FAILED})
"""Beside a lost connection: these say nothing about the symbol that was asked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What the terminal said about one stream."""

    stream: TickStream
    converted: Conversion
    digits_now: int
    is_complete: bool
    """Fewer ticks than asked for: there are no more."""
    newest_ms: int
    """Broker time of the symbol's newest tick, whether it is in the answer or not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SymbolFacts:
    """What a stream of a symbol begins with."""

    digits: int
    newest_ms: int
    """Broker time of the newest tick; 0 before the first."""


@dataclass(kw_only=True, slots=True)
class Told:
    """What the terminal said about all streams."""

    replies: list[Reply] = field(default_factory=list[Reply])
    """Of the streams with something new."""
    answered: int = 0
    refused: list[tuple[TickStream, AitradingError]] = field(
        default_factory=list[tuple[TickStream, AitradingError]]
    )
    """Streams whose symbols gave nothing, each with the reason."""
    lost: tuple[str, ErrorOfTerminal] | None = None
    """The symbol at whose question the terminal was lost, and what it said."""


async def log_in(terminal: Asks) -> AccountInfo:
    """Connect and tell which account it is; raises `TERMINAL_UNAVAILABLE`."""
    done, account = await terminal.ask(call("initialize"), call("account_info"))
    if not done.value or account.value is None:
        raise unavailable(account.error if done.value else done.error)
    logged_in: AccountInfo = account.value
    return logged_in


def shortened(login: int) -> str:
    """An account's number as a log may show it: enough to tell one's own accounts apart."""
    return f"...{login % 1_000:03d}"


async def shown_symbols(terminal: Asks, wanted: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The symbols that Market Watch shows, of the wanted ones or of all."""
    if wanted:
        answers = await terminal.ask(*(call("symbol_info", symbol) for symbol in wanted))
        infos = [answer.value for answer in answers if answer.value is not None]
    else:
        answers = await terminal.ask(call("symbols_get"))
        if answers[0].value is None:
            raise unavailable(answers[0].error)
        infos = answers[0].value
    return tuple(info.name for info in infos if info.visible)


async def describe(
    terminal: Asks, symbols: Sequence[str], *, show: bool
) -> list[SymbolFacts | AitradingError]:
    """What is known of each symbol, or why it cannot be collected; `show` puts it into Market Watch.

    Raises `TERMINAL_UNAVAILABLE` when it is the terminal that does not answer.
    """
    shown = [call("symbol_select", symbol, True) for symbol in symbols] if show else []
    infos = [call("symbol_info", symbol) for symbol in symbols]
    ticks = [call("symbol_info_tick", symbol) for symbol in symbols]
    answers = await terminal.ask(*shown, *infos, *ticks)
    told = [
        answers[start : start + len(symbols)] for start in range(0, len(answers), len(symbols))
    ]
    return [_facts(symbol, of_symbol) for symbol, *of_symbol in zip(symbols, *told, strict=True)]


def _facts(symbol: str, answers: Sequence[Answer]) -> SymbolFacts | AitradingError:
    for answer in answers:
        if not answer.value:
            return refusal(symbol, answer)
    info, tick = answers[-2].value, answers[-1].value
    return SymbolFacts(digits=info.digits, newest_ms=tick.time_msc)


def refusal(symbol: str, answer: Answer) -> AitradingError:
    """What an answer without a value says of its symbol; raises what it says of the terminal."""
    number, text = answer.error
    if answer.is_connection_lost or number in OF_THE_TERMINAL:
        raise unavailable(answer.error)
    if number == RES_E_NOT_FOUND:
        return TERMINAL_SYMBOL_UNKNOWN.error(symbol=symbol)
    return SYMBOL_SILENT.error(symbol=symbol, number=number, text=text)


async def ask(terminal: Asks, streams: list[TickStream], limit: int) -> Told:
    """Ask about every stream at once, or without streams whether the terminal is still there.

    Raises `TERMINAL_UNAVAILABLE` when that is not because of one of them.
    """
    told = Told()
    questions = [newest(stream, limit) for stream in streams] or [call("account_info")]
    answers = await terminal.ask(*questions, lane=Lane.TICKS)
    if not streams and answers[0].value is None:
        raise unavailable(answers[0].error)
    for stream, answer in zip(streams, answers, strict=False):
        ticks: TickRows | None = answer.value
        if ticks is None and answer.is_connection_lost:
            told.lost = stream.key.symbol, answer.error
            return told
        if ticks is None:
            told.refused.append((stream, refusal(stream.key.symbol, answer)))
            continue
        told.answered += 1
        if not _is_nothing_new(stream, ticks):
            told.replies.append(await _reply(terminal, stream, ticks, limit))
    return told


async def _reply(terminal: Asks, stream: TickStream, ticks: TickRows, limit: int) -> Reply:
    converted = to_rows(ticks, stream.digits)
    is_complete = len(ticks) < stream.cursor.taken + limit
    digits_now = stream.digits
    if converted.not_representable:
        [info] = await terminal.ask(call("symbol_info", stream.key.symbol))
        digits_now = info.value.digits if info.value else digits_now
    return Reply(
        stream=stream,
        converted=converted,
        digits_now=digits_now,
        is_complete=is_complete,
        newest_ms=await _newest_ms(terminal, stream, ticks, is_complete=is_complete),
    )


def newest(stream: TickStream, limit: int) -> Call:
    """The question for what follows the stream's cursor; its last second comes again."""
    cursor = stream.cursor
    count = cursor.taken + limit
    return call("copy_ticks_from", stream.key.symbol, cursor.second, count, COPY_TICKS_ALL)


async def _newest_ms(
    terminal: Asks, stream: TickStream, ticks: TickRows, *, is_complete: bool
) -> int:
    """An answer that was cut off ends with an old tick: the terminal is asked for the newest."""
    if is_complete:
        return int(ticks["time_msc"][-1]) if len(ticks) else 0
    [tick] = await terminal.ask(call("symbol_info_tick", stream.key.symbol), lane=Lane.TICKS)
    return tick.value.time_msc if tick.value else 0


def _is_nothing_new(stream: TickStream, ticks: TickRows) -> bool:
    """As many ticks as were taken, up to the same moment: not worth converting."""
    taken = stream.cursor.taken
    if len(ticks) != taken:
        return False
    return not taken or int(ticks["time_msc"][-1]) == stream.cursor.last_ms
