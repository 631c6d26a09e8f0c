"""How the terminal is, in plain values: told by the running client, or by a worker for the occasion.

No password and no whole account number is among them.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from aitrading.client.metatrader_connector.poller import TickPoller
from aitrading.client.metatrader_connector.questions import shortened
from aitrading.client.terminal.api.errors import ErrorOfTerminal
from aitrading.client.terminal.calls import Asks, call
from aitrading.core.infrastructure.health.probes import AsgiApp, Receive, Scope, Send
from aitrading.core.kit.clock import NS_PER_MS, Clock, now_ms
from aitrading.core.kit.errors import AitradingError

PATH: Final = "/terminal.json"
US_PER_MS: Final = 1_000


class Permissions(msgspec.Struct, frozen=True, kw_only=True):
    """What may be traded, by whose word."""

    terminal: bool
    """The button Algo Trading."""
    interface: bool
    """Programs outside of the terminal may trade."""
    account: bool
    """The broker lets this account trade; an investor password does not."""
    programs: bool
    """The broker lets programs trade on it."""


class TerminalReport(msgspec.Struct, frozen=True, kw_only=True):
    """One look."""

    problem: str = ""
    """Code of what keeps the terminal from answering."""
    said: str = ""
    number: int | None = None
    """`last_error()` of the terminal."""
    build: int | None = None
    answer_ms: float | None = None
    account: str | None = None
    """End of its number, and its server."""
    has_broker: bool | None = None
    ping_ms: float | None = None
    may_trade: Permissions | None = None
    broker_offset_s: int | None = None
    is_offset_certain: bool = False
    is_offset_configured: bool = False
    symbols: int | None = None
    set_aside: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()


async def look_at(terminal: Asks, clock: Clock) -> TerminalReport:
    """Ask a terminal that should be connected."""
    began_ns = clock.monotonic_ns()
    try:
        told, whose = await terminal.ask(call("terminal_info"), call("account_info"))
    except AitradingError as exc:
        return trouble(exc)
    if told.value is None:
        return failure(told.error)
    if whose.value is None:
        return failure(whose.error, build=told.value.build)
    info, account = told.value, whose.value
    return TerminalReport(
        build=info.build,
        answer_ms=round((clock.monotonic_ns() - began_ns) / NS_PER_MS, 1),
        account=f"{shortened(account.login)} at {account.server}",
        has_broker=bool(info.connected),
        ping_ms=info.ping_last / US_PER_MS,
        may_trade=Permissions(
            terminal=bool(info.trade_allowed),
            interface=not info.tradeapi_disabled,
            account=bool(account.trade_allowed),
            programs=bool(account.trade_expert),
        ),
    )


def trouble(exc: AitradingError) -> TerminalReport:
    """Why nobody can be asked."""
    number = exc.fields.get("number")
    return TerminalReport(
        problem=exc.code, said=exc.message, number=number if isinstance(number, int) else None
    )


def failure(error: ErrorOfTerminal, *, build: int | None = None) -> TerminalReport:
    """What the terminal answered instead of what was asked for."""
    number, text = error
    return TerminalReport(
        problem="TERMINAL_UNAVAILABLE", said=f"{text} ({number})", number=number, build=build
    )


async def of_running(terminal: Asks, poller: TickPoller, clock: Clock) -> TerminalReport:
    """The terminal of this client, with what its poller knows."""
    report = (
        trouble(poller.trouble) if poller.trouble is not None else await look_at(terminal, clock)
    )
    known = poller.broker_clock
    return msgspec.structs.replace(
        report,
        broker_offset_s=known.offset_s,
        is_offset_certain=known.is_certain_at(now_ms(clock)),
        is_offset_configured=known.is_configured,
        symbols=len(poller.symbols),
        set_aside=poller.set_aside,
        hidden=poller.hidden,
    )


def terminal_app(report: Callable[[], Awaitable[TerminalReport]], behind: AsgiApp) -> AsgiApp:
    """Answers `/terminal.json` and gives everything else to who is behind."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PATH or scope["method"] != "GET":
            await behind(scope, receive, send)
            return
        headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
        body: Any = msgspec.json.encode(await report())
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app
