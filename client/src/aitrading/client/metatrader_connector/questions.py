"""What is asked of a terminal."""

from collections.abc import Sequence
from dataclasses import dataclass

from aitrading.client.metatrader_connector.rows import Conversion, to_rows
from aitrading.client.metatrader_connector.stream_state import TickStream
from aitrading.client.terminal.api.arrays import TickRows
from aitrading.client.terminal.api.constants import COPY_TICKS_ALL
from aitrading.client.terminal.calls import Asks, Call, Lane, call, unavailable
from aitrading.client.terminal.errors import TERMINAL_SYMBOL_UNKNOWN
from aitrading.client.terminal.port import AccountInfo


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


async def log_in(terminal: Asks) -> AccountInfo:
    """Connect and tell which account it is; raises `TERMINAL_UNAVAILABLE`."""
    done, account = await terminal.ask(call("initialize"), call("account_info"))
    if not done.value or account.value is None:
        raise unavailable(account.error if done.value else done.error)
    logged_in: AccountInfo = account.value
    return logged_in


async def select(terminal: Asks, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Show the wanted symbols, or take the visible ones; gives their names."""
    if not wanted:
        [symbols] = await terminal.ask(call("symbols_get"))
        if symbols.value is None:
            raise unavailable(symbols.error)
        wanted = tuple(symbol.name for symbol in symbols.value if symbol.visible)
    shown = await terminal.ask(*(call("symbol_select", symbol, True) for symbol in wanted))
    for symbol, answer in zip(wanted, shown, strict=True):
        if answer.value:
            continue
        if answer.is_connection_lost:
            raise unavailable(answer.error)
        raise TERMINAL_SYMBOL_UNKNOWN.error(symbol=symbol)
    return wanted


async def describe(terminal: Asks, symbols: Sequence[str]) -> list[tuple[int, int]]:
    """Digits and newest tick time (broker milliseconds) of each symbol."""
    infos = await terminal.ask(*(call("symbol_info", symbol) for symbol in symbols))
    ticks = await terminal.ask(*(call("symbol_info_tick", symbol) for symbol in symbols))
    for answer in (*infos, *ticks):
        if answer.value is None:
            raise unavailable(answer.error)
    return [(info.value.digits, tick.value.time_msc)
            for info, tick in zip(infos, ticks, strict=True)]  # fmt: skip


async def ask(terminal: Asks, streams: list[TickStream], limit: int) -> list[Reply]:
    """Ask about every stream at once; streams without anything new have no reply."""
    replies: list[Reply] = []
    told = await terminal.ask(*(newest(stream, limit) for stream in streams), lane=Lane.TICKS)
    for stream, answer in zip(streams, told, strict=True):
        ticks: TickRows | None = answer.value
        if ticks is None:
            raise unavailable(answer.error)
        if _is_nothing_new(stream, ticks):
            continue
        converted = to_rows(ticks, stream.digits)
        is_complete = len(ticks) < stream.cursor.taken + limit
        digits_now = stream.digits
        if converted.not_representable:
            [info] = await terminal.ask(call("symbol_info", stream.key.symbol))
            digits_now = info.value.digits if info.value else digits_now
        replies.append(
            Reply(
                stream=stream,
                converted=converted,
                digits_now=digits_now,
                is_complete=is_complete,
                newest_ms=await _newest_ms(terminal, stream, ticks, is_complete=is_complete),
            )
        )
    return replies


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
