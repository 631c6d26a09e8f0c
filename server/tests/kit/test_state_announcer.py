"""A service tells the platform when it becomes better or worse."""

from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.event_bus import EventEnvelope
from aitrading.core.infrastructure.events import ServiceStateChanged
from aitrading.core.infrastructure.health import ComponentHealth, HealthRegistry
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.resilience import ResilienceRegistry
from aitrading.core.kit.ids import SystemIdFactory
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.manual_clock import ManualClock, settle
from aitrading.core.testing.memory_bus import MemoryBroker, MemoryBus
from aitrading.core.testing.seeded import SeededRandomness
from aitrading.server.kit.state_announcer import StateAnnouncer


@async_test
async def test_announces_each_change_once_and_again_after_the_bus_was_lost() -> None:
    clock, broker, randomness = ManualClock(), MemoryBroker(), SeededRandomness()
    resilience = ResilienceRegistry()
    errors = ErrorHandler(
        clock=clock, randomness=randomness, metrics=Metrics(), resilience=resilience
    )
    ids = SystemIdFactory(clock, randomness)
    bus = MemoryBus(broker, clock=clock, ids=ids, errors=errors, name="bridge")
    health = HealthRegistry(
        service="bridge",
        instance="1",
        version="0",
        clock=clock,
        resilience=resilience,
        errors=errors,
    )
    state = ComponentState.HEALTHY
    health.probe("part", lambda: ComponentHealth(state=state))
    heard: list[tuple[str | None, str]] = []

    async def hear(event: ServiceStateChanged, _: EventEnvelope) -> None:
        heard.append((event.previous, event.state))

    announcer = StateAnnouncer(bus, health, clock=clock, errors=errors)
    await bus.start()
    await bus.subscribe(ServiceStateChanged, hear)
    await announcer.start()
    await settle()
    await clock.advance(3)
    assert heard == [(None, "HEALTHY")]

    broker.stop()
    state = ComponentState.FAILED
    await clock.advance(3)
    broker.start()
    await clock.advance(10)
    assert heard[1:] == [("HEALTHY", "FAILED")]
    await announcer.stop()
    await bus.stop()
