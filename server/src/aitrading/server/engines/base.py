"""What every engine offers the supervisor."""

import asyncio
from typing import Protocol

from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.server.engines.errors import ENGINE_START_FAILED
from aitrading.server.engines.process import Launch, Process

POLL_S = 0.005
"""How often readiness is probed; far below the time an engine needs to start."""


class Engine(Protocol):
    """An embedded server: prepared once, launched as a child, probed over its real protocol."""

    @property
    def name(self) -> str:
        """How the engine is called in plans, logs and status."""
        ...

    async def prepare(self) -> None:
        """Make folders, configuration and first data; repeating it changes nothing."""
        ...

    def launch(self) -> Launch:
        """How to start the process; call `prepare` first."""
        ...

    async def ready(self) -> bool:
        """Ask once, over the protocol and with the authentication that services use."""
        ...

    async def settle(self) -> None:
        """Do what needs the running engine, once after each start (roles, databases)."""
        ...


async def wait_until_ready(
    engine: Engine, process: Process, clock: Clock, *, timeout_s: float
) -> None:
    """Poll until the engine answers; raises ENGINE_START_FAILED when it ends or is too slow."""
    deadline_ns = clock.monotonic_ns() + round(timeout_s * NS_PER_S)
    while not await engine.ready():
        if process.returncode is not None:
            raise _failed(engine, f"it ended with code {process.returncode}", timeout_s)
        if clock.monotonic_ns() > deadline_ns:
            raise _failed(engine, f"no answer within {timeout_s} s", timeout_s)
        await asyncio.sleep(POLL_S)


def _failed(engine: Engine, detail: str, timeout_s: float) -> Exception:
    return ENGINE_START_FAILED.error(
        engine=engine.name, detail=detail, timeout_s=timeout_s, log=f"logs/{engine.name}.log"
    )
