"""A part that fails is started again and told of, and takes nobody else with it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from typing_extensions import override

from aitrading.client.part_runner import PART_RESTARTS, PartRunner
from aitrading.client.probe_server import ProbeServer
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.health import HealthRegistry
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.resilience import ResilienceRegistry
from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.errors import FieldValue
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually

CLOCK = SystemClock()


class Drawn(SystemRandomness):
    """Remembers which pauses were drawn, and waits for none of them."""

    def __init__(self) -> None:
        self.longest: list[float] = []

    @override
    def uniform(self, low: float, high: float) -> float:
        self.longest.append(high)
        return low


@dataclass
class Work:
    """Fails as often as it is told, then works."""

    failures: int
    starts: int = 0
    fail_now: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def state(self) -> ComponentState:
        return ComponentState.HEALTHY

    def statistics(self) -> dict[str, FieldValue]:
        return {"starts": self.starts}

    async def run(self) -> None:
        self.starts += 1
        if self.starts <= self.failures:
            raise RuntimeError("nobody foresaw this")
        await self.fail_now.wait()
        self.fail_now.clear()
        raise RuntimeError("nobody foresaw this either")


class Stoppable(SystemClock):
    """Its pauses end at once, until it is told that none ends."""

    stops = False

    @override
    async def sleep(self, seconds: float) -> None:
        if self.stops:
            await asyncio.Event().wait()
        await super().sleep(seconds)


@dataclass
class Bench:
    runner: PartRunner
    health: HealthRegistry
    metrics: Metrics
    drawn: Drawn
    clock: Stoppable


@asynccontextmanager
async def running(work: Work, *, port: int = 0) -> AsyncGenerator[Bench]:
    metrics, resilience, drawn, clock = Metrics(), ResilienceRegistry(), Drawn(), Stoppable()
    errors = ErrorHandler(
        clock=CLOCK, randomness=drawn, metrics=metrics, resilience=resilience
    )  # fmt: skip
    health, whole = (
        HealthRegistry(
            service=name, instance="i", version="1", clock=CLOCK, resilience=resilience,
            errors=errors,
        )
        for name in ("part", "client")
    )  # fmt: skip
    runner = PartRunner(
        "part", lambda: work, port=port, health=health, metrics=metrics, errors=errors,
        clock=clock, randomness=drawn,
    )  # fmt: skip
    whole.watch(runner, critical=False)
    await runner.start()
    try:
        yield Bench(runner, whole, metrics, drawn, clock)
    finally:
        await runner.stop()


@async_test
async def test_a_part_that_fails_is_started_again_with_growing_pauses() -> None:
    work = Work(failures=4)
    async with running(work) as bench:
        await eventually(lambda: work.starts == 5)
        assert bench.drawn.longest == [1.0, 2.0, 4.0, 8.0]
        assert (bench.runner.restarts, bench.runner.state) == (4, ComponentState.HEALTHY)
        assert f'{PART_RESTARTS.name}{{part="part"}} 4' in bench.metrics.render().decode()
        bench.clock.stops = True
        work.fail_now.set()
        await eventually(lambda: bench.runner.state is ComponentState.FAILED)
        assert bench.health.state() is ComponentState.DEGRADED, "the client goes on"
        assert bench.health.ready()
        assert bench.runner.statistics()["failed_by"]


@async_test
async def test_a_port_that_is_taken_keeps_no_part_from_working() -> None:
    metrics, resilience = Metrics(), ResilienceRegistry()
    errors = ErrorHandler(
        clock=CLOCK, randomness=SystemRandomness(), metrics=metrics, resilience=resilience
    )
    health = HealthRegistry(
        service="x", instance="i", version="1", clock=CLOCK, resilience=resilience, errors=errors
    )
    other = ProbeServer(0, health, metrics)
    await other.start()
    try:
        work = Work(failures=0)
        async with running(work, port=other.port) as bench:
            await eventually(lambda: work.starts == 1)
            assert bench.runner.state is ComponentState.DEGRADED
            assert bench.runner.statistics()["probe_error"] == "PROBE_PORT_TAKEN"
    finally:
        await other.stop()
