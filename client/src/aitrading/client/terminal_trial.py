"""Tries the terminal without a running client: one worker, one connection, ended again."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
from typing_extensions import override

from aitrading.client.metatrader_connector.broker_clock import infer_offset_s
from aitrading.client.metatrader_connector.named_login import account_wanted
from aitrading.client.metatrader_connector.questions import shown_symbols
from aitrading.client.metatrader_connector.settings import ConnectorSettings
from aitrading.client.metatrader_connector.terminal_report import (
    TerminalReport,
    failure,
    look_at,
    trouble,
)
from aitrading.client.security.confinement import ConfinementSettings
from aitrading.client.security.login_settings import TerminalLoginSettings
from aitrading.client.service import load_config
from aitrading.client.terminal.calls import Answer, Asks, Call, Lane, call
from aitrading.client.terminal.pool.opening import Opening
from aitrading.client.terminal.pool.settings import TerminalPoolSettings
from aitrading.client.terminal.pool.worker import WorkerProcess
from aitrading.client.terminal.select import TerminalKind
from aitrading.client.terminal.settings import SimulatedTerminalSettings
from aitrading.core.kit.clock import NS_PER_MS, Clock
from aitrading.core.kit.errors import AitradingError

PATIENCE_S: Final = 20.0
MARGIN_S: Final = 5.0
"""Longer than the package waits itself, so that its own words are heard."""
ASKED_MAX: Final = 32
"""Most symbols that are asked for the broker's time."""
MS_PER_S: Final = 1_000


class _Trial(Asks):
    def __init__(self, worker: WorkerProcess) -> None:
        self._worker = worker

    @override
    async def ask(self, *calls: Call, lane: Lane = Lane.READS) -> list[Answer]:
        return await self._worker.ask(calls, timeout_s=PATIENCE_S + MARGIN_S)


def try_terminal(
    home: Path, kind: TerminalKind, clock: Clock, environ: Mapping[str, str]
) -> TerminalReport:
    """Start a worker and let it connect as the client would, without a stored login.

    Raises what is wrong with the settings.
    """
    config = load_config(home, environ)
    confined = config.get(ConfinementSettings).enabled
    opening = Opening.of(kind, config.get(SimulatedTerminalSettings), clock, confined=confined)
    path = next(iter(config.get(TerminalPoolSettings).paths), "")
    wanted = config.get(ConnectorSettings).symbols
    account = account_wanted(config.get(TerminalLoginSettings))
    opens = call(
        "initialize", *([path] if path else []), timeout=round(PATIENCE_S * MS_PER_S), **account
    )
    return asyncio.run(_tried(opening, opens, wanted, clock))


async def _tried(
    opening: Opening, opens: Call, wanted: tuple[str, ...], clock: Clock
) -> TerminalReport:
    try:
        worker = await WorkerProcess.start(opening)
    except AitradingError as exc:
        return trouble(exc)
    try:
        return await _asked(_Trial(worker), opens, wanted, clock)
    except AitradingError as exc:
        return trouble(exc)
    finally:
        await worker.close()


async def _asked(
    terminal: Asks, opens: Call, wanted: tuple[str, ...], clock: Clock
) -> TerminalReport:
    [opened] = await terminal.ask(opens)
    if not opened.value:
        return failure(opened.error)
    report = await look_at(terminal, clock)
    if report.problem:
        return report
    shown = await shown_symbols(terminal, wanted)
    offset_s = await _offset_s(terminal, shown[:ASKED_MAX], clock)
    return msgspec.structs.replace(
        report,
        symbols=len(shown),
        hidden=tuple(one for one in wanted if one not in shown),
        broker_offset_s=offset_s,
    )


async def _offset_s(terminal: Asks, symbols: Sequence[str], clock: Clock) -> int | None:
    """What the newest tick suggests; only one that arrives while somebody looks proves it."""
    if not symbols:
        return None
    answers = await terminal.ask(*(call("symbol_info_tick", symbol) for symbol in symbols))
    newest_ms = max((one.value.time_msc for one in answers if one.value), default=0)
    return infer_offset_s(newest_ms, clock.now_ns() // NS_PER_MS) if newest_ms else None
