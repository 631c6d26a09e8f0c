"""A pool over a twin of this process, so that faults can be made and calls be counted."""

import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from typing_extensions import override

from aitrading.client.metatrader_connector.questions import log_in
from aitrading.client.terminal.pool.opening import Opening
from aitrading.client.terminal.pool.pool import TerminalPool
from aitrading.client.terminal.pool.settings import TerminalPoolSettings
from aitrading.client.terminal.select import TerminalKind
from aitrading.client.terminal.settings import SimulatedTerminalSettings
from aitrading.client.terminal.sim import SimulatedTerminal
from aitrading.client.terminal.sim.faults import FaultRule
from aitrading.client.terminal.sim.process.server import TwinServer
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.resilience import ResilienceRegistry
from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.randomness import SystemRandomness

CLOCK = SystemClock()


class AtOnce(SystemRandomness):
    """Comes back without a pause."""

    @override
    def uniform(self, low: float, high: float) -> float:
        return min(low, high)


@dataclass
class Desk:
    """A pool, the twin behind it, and what may be done to the twin."""

    pool: TerminalPool
    twin: SimulatedTerminal

    def inject(self, **rule: Any) -> None:
        """Let a fault happen."""
        self.twin.world.faults.add(FaultRule(**rule))

    def switch_account(self, login: int) -> None:
        """Log the terminal in to another account, as its user does in the window."""
        server = self.twin.world.server
        server.account = msgspec.structs.replace(server.account, login=login)

    def release(self) -> None:
        """Let calls go on that wait."""
        self.twin.world.faults.gate.release()


@asynccontextmanager
async def open_desk(
    folder: Path, twin: SimulatedTerminal | None = None, **settings: Any
) -> AsyncGenerator[Desk]:
    """A pool with these settings over a twin, for the time of the block."""
    address = folder / "twin.json"
    server = TwinServer(twin or SimulatedTerminal(CLOCK), address)
    thread = threading.Thread(target=server.serve)
    thread.start()
    metrics = Metrics()
    errors = ErrorHandler(
        clock=CLOCK, randomness=AtOnce(), metrics=metrics, resilience=ResilienceRegistry()
    )
    pool = TerminalPool(
        Opening.of(TerminalKind.SIM, SimulatedTerminalSettings(process=address), CLOCK),
        TerminalPoolSettings(**settings),
        home=folder,
        log_in=log_in,
        clock=CLOCK,
        randomness=AtOnce(),
        errors=errors,
        metrics=metrics,
    )
    await pool.start()
    try:
        await pool.connected()
        yield Desk(pool, server.terminal)
    finally:
        server.terminal.world.faults.gate.release()
        await pool.stop()
        server.close()
        thread.join()
