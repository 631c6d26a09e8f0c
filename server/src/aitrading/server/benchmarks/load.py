"""Twice the busiest second of a real day, for every symbol at once and without a pause.

The busiest second that was recorded of gold had 325 ticks. Twenty symbols with 650 each go from a
twin through client, edge and bridge into the database for a minute (`--long`: ten), while fifty people
watch. Nothing may be lost, nothing may grow, and the end may not be slower than the beginning.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Final

import numpy as np
import uvloop

from aitrading.core.kit.clock import NS_PER_MS, NS_PER_S
from aitrading.server.benchmarks.day_reader import DayReader
from aitrading.server.benchmarks.installation import Installation, running_installation
from aitrading.server.benchmarks.ticks_seen import Board, watching
from aitrading.server.benchmarks.twin_client import PENDING, TwinClient, enrol, running_client
from aitrading.server.engines.proc import use_of

PEAK_TICKS_PER_S: Final = 325
FACTOR: Final = 2
PEOPLE: Final = 50
SECONDS: Final = 60.0
LONG_FACTOR: Final = 10
WARM_S: Final = 5.0
EVERY_S: Final = 5.0
POLL_S: Final = 0.2
FIRST_TIMEOUT_S: Final = 60.0
SETTLED_TIMEOUT_S: Final = 60.0
MB: Final = 1_000_000
SETTINGS: Final = {"gateway.requests_burst": "100000", "gateway.login_burst": "1000"}
on_loop: Final = uvloop.run
Figures = dict[str, float | None]


@dataclass
class _Course:
    """What was seen every few seconds."""

    private_mb: list[float] = field(default_factory=list[float])
    pending: list[float] = field(default_factory=list[float])
    late_ms: list[float] = field(default_factory=list[float])
    """The 99th percentile of each part."""


async def run(*, long: bool = False) -> Figures:
    """Load, and what it did."""
    seconds = SECONDS * (LONG_FACTOR if long else 1)
    with running_installation(SETTINGS) as installation:
        home = installation.folder / "load"
        code = await asyncio.to_thread(installation.invitation, "load")
        await asyncio.to_thread(enrol, home, code, installation.port)
        market = {
            "TERMINAL_SIM_SYMBOLS": "*",
            "TERMINAL_SIM_TICKS_PER_S": str(PEAK_TICKS_PER_S * FACTOR),
        }
        board = Board()
        transports = [await watching(installation, board, number) for number in range(PEOPLE)]
        with running_client(home, market) as client:
            async with asyncio.timeout(FIRST_TIMEOUT_S):
                await board.came.wait()
            await installation.clock.sleep(WARM_S)
            course, ticks, took_s = await _watched(installation, client, board, seconds)
            await _until_counted(installation, sorted(board.symbols))
        for transport in transports:
            transport.disconnect()
        lost, doubled = await _counted(installation, sorted(board.symbols))
    return {
        "load.ticks_per_s": round(ticks / took_s),
        "load.lost": float(lost),
        "load.doubled": float(doubled),
        "load.pending_max": max(course.pending),
        "load.late_p99_first_ms": _of_third(course.late_ms, 0),
        "load.late_p99_last_ms": _of_third(course.late_ms, 2),
        "load.memory_first_mb": _of_third(course.private_mb, 0),
        "load.memory_last_mb": _of_third(course.private_mb, 2),
    }


async def _watched(
    installation: Installation, client: TwinClient, board: Board, seconds: float
) -> tuple[_Course, int, float]:
    course, clock = _Course(), installation.clock
    names = [*installation.state.services, *installation.state.engines]
    pids = [installation.pid(name) for name in names]
    began_ns, first = clock.monotonic_ns(), dict(board.sequences)
    board.is_open = True
    while (took_s := (clock.monotonic_ns() - began_ns) / NS_PER_S) < seconds:
        await clock.sleep(EVERY_S)
        late, board.late_ns = board.late_ns, []
        course.late_ms.append(float(np.percentile(late, 99)) / NS_PER_MS if late else np.inf)
        course.private_mb.append(use_of(pids).private_bytes / MB)
        course.pending.append(await asyncio.to_thread(client.metric, PENDING))
    board.is_open = False
    ticks = sum(last - first.get(symbol, 0) for symbol, last in board.sequences.items())
    return course, ticks, took_s


async def _until_counted(installation: Installation, symbols: Sequence[str]) -> None:
    """Wait for the first count of each symbol: a client that ended tells none any more."""
    async with asyncio.timeout(SETTLED_TIMEOUT_S):
        for symbol in symbols:
            while not await asyncio.to_thread(_is_counted, installation, symbol):
                await installation.clock.sleep(POLL_S)


def _is_counted(installation: Installation, symbol: str) -> bool:
    found = DayReader(installation=installation, day=_today(installation)).certificate(symbol)
    return found is not None and found.counted > 0


async def _counted(installation: Installation, symbols: Sequence[str]) -> tuple[int, int]:
    """Lost and doubled of what the device counted until it ended, by the certificates."""
    now = _today(installation)
    lost = doubled = 0
    for symbol in symbols:
        for day in (now - timedelta(days=1), now):
            stored, counted = await _settled(installation, symbol, day)
            lost, doubled = lost + max(0, counted - stored), doubled + max(0, stored - counted)
    return lost, doubled


def _today(installation: Installation) -> date:
    return datetime.fromtimestamp(installation.clock.now_ns() / NS_PER_S, UTC).date()


async def _settled(installation: Installation, symbol: str, day: date) -> tuple[int, int]:
    """Stored and counted of one day, as soon as what was on its way has arrived."""
    reader, clock = DayReader(installation=installation, day=day), installation.clock
    until_ns = clock.monotonic_ns() + round(SETTLED_TIMEOUT_S * NS_PER_S)
    while True:
        found = await asyncio.to_thread(reader.certificate, symbol)
        if found is None:
            return 0, 0
        if found.agrees or clock.monotonic_ns() > until_ns:
            return found.stored, found.counted
        await clock.sleep(POLL_S)


def _of_third(values: Sequence[float], number: int) -> float | None:
    """The median of the first, second or last third."""
    part = np.array_split(np.array(values), 3)[number]
    return round(float(np.median(part)), 2) if len(part) else None
