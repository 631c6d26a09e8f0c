"""The broker's symbols as the terminal has them, on the loopback interface, for people and pages.

Whoever shows them asks again every second; the terminal is asked as seldom as the ages of
`terminal/reads.py` allow, and never by way of what orders and ticks use.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from aitrading.client.terminal.api.constants import TIMEFRAME_M1
from aitrading.client.terminal.calls import Asks, Call, call, unavailable
from aitrading.core.infrastructure.health.probes import AsgiApp, Receive, Scope, Send
from aitrading.core.kit.errors import AitradingError

PATH: Final = "/symbols.json"
CLOSES: Final = 30
SYMBOLS_MAX: Final = 5_000
DETAILED_MAX: Final = 64
"""Most symbols that are told with their last minutes."""


class SymbolEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What a symbol is called here, and what may be traded of it."""

    name: str
    description: str
    digits: int
    volume_min: float
    volume_max: float
    volume_step: float
    contract_size: float
    is_shown: bool
    is_collected: bool
    minute_closes: tuple[float, ...] = ()
    """Of the last half hour, the running minute last; for symbols that are collected."""


async def list_symbols(terminal: Asks, collected: Iterable[str]) -> list[SymbolEntry]:
    """Every symbol of the broker; raises `TERMINAL_…`."""
    wanted = tuple(collected)[:DETAILED_MAX]
    [listed] = await terminal.ask(call("symbols_get"))
    if listed.value is None:
        raise unavailable(listed.error)
    infos = await terminal.ask(*(call("symbol_info", name) for name in wanted))
    rates = await terminal.ask(*map(minutes, wanted))
    latest = {one.value.name: one.value for one in infos if one.value is not None}
    closes = {
        name: tuple(float(close) for close in answer.value["close"])
        for name, answer in zip(wanted, rates, strict=True)
        if answer.value is not None
    }
    return [
        _entry(latest.get(info.name, info), closes.get(info.name), set(wanted))
        for info in listed.value[:SYMBOLS_MAX]
    ]


def minutes(symbol: str) -> Call:
    """The question for the last bars of a minute."""
    return call("copy_rates_from_pos", symbol, TIMEFRAME_M1, 0, CLOSES)


def _entry(info: Any, closes: tuple[float, ...] | None, collected: set[str]) -> SymbolEntry:
    return SymbolEntry(
        name=info.name,
        description=info.description,
        digits=info.digits,
        volume_min=info.volume_min,
        volume_max=info.volume_max,
        volume_step=info.volume_step,
        contract_size=info.trade_contract_size,
        is_shown=bool(info.visible),
        is_collected=info.name in collected,
        minute_closes=closes or (),
    )


def symbols_app(
    terminal: Asks, collected: Callable[[], Iterable[str]], behind: AsgiApp
) -> AsgiApp:
    """Answers `/symbols.json` and gives everything else to who is behind."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PATH or scope["method"] != "GET":
            await behind(scope, receive, send)
            return
        try:
            status, body = 200, msgspec.json.encode(await list_symbols(terminal, collected()))
        except AitradingError as exc:
            status, body = exc.spec.http_status, msgspec.json.encode({"error": {"code": exc.code}})
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app
