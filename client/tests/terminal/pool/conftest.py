"""A pool over a twin that runs in this test, so that faults can be made and calls be counted."""

import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

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

    def uniform(self, low: float, high: float) -> float:
        return min(low, high)


@dataclass
class Desk:
    """A pool, the twin behind it, and what may be done to the twin."""

    pool: TerminalPool
    twin: SimulatedTerminal

    def inject(self, **rule: Any) -> None:
        self.twin.world.faults.add(FaultRule(**rule))

    def release(self) -> None:
        self.twin.world.faults.gate.release()


@asynccontextmanager
async def open_desk(folder: Path, **settings: Any) -> AsyncGenerator[Desk]:
    address = folder / "twin.json"
    server = TwinServer(SimulatedTerminal(CLOCK), address)
    thread = threading.Thread(target=server.serve)
    thread.start()
    errors = ErrorHandler(
        clock=CLOCK, randomness=AtOnce(), metrics=Metrics(), resilience=ResilienceRegistry()
    )
    pool = TerminalPool(
        Opening.of(TerminalKind.SIM, SimulatedTerminalSettings(process=address), CLOCK),
        TerminalPoolSettings(**settings),
        log_in=log_in,
        clock=CLOCK,
        randomness=AtOnce(),
        errors=errors,
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


@pytest.fixture
def desk(tmp_path: Path) -> Callable[..., AbstractAsyncContextManager[Desk]]:
    def make(**settings: Any) -> AbstractAsyncContextManager[Desk]:
        return open_desk(tmp_path, **settings)

    return make
