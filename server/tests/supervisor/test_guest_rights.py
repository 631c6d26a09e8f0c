"""What a service of the operator's own may do on the bus: be one, and nothing beyond that."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
from nats.aio.msg import Msg
from nats.errors import TimeoutError as NatsTimeoutError

from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.events import ErrorsSeen
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.resilience import ResilienceRegistry
from aitrading.core.infrastructure.service_registry import ServiceRecord
from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.ids import SystemIdFactory
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.testing.async_test import async_test
from aitrading.server.kit.bus_nats import NatsBus
from aitrading.server.kit.bus_nats_routes import STREAM
from aitrading.server.kit.nats_connection import NatsConnection
from aitrading.server.kit.registry_nats import NatsRegistryStore
from aitrading.server.supervisor.bundles import SERVICE_NAMES
from aitrading.server.supervisor.guests import RIGHTS
from aitrading.server.supervisor.stores import BUS_RIGHTS
from aitrading.server.testing.engines import RunningNats, running_nats

pytestmark = pytest.mark.integration
GUEST: Final = "news"
HOUSE: Final = SERVICE_NAMES[0]
NOT_HEARD: Final = (
    "ait.platform.trace.collect",
    "ait.x.market_data.tick",
    "ait.x.identity.y",
    "_INBOX.durable.journal",
    f"_INBOX.{HOUSE}.answer",
)
NOT_ASKED: Final = (
    f"$JS.API.CONSUMER.CREATE.{STREAM}",
    f"$JS.API.CONSUMER.DURABLE.CREATE.{STREAM}.mine",
    f"$JS.API.STREAM.MSG.GET.{STREAM}",
    f"$JS.API.STREAM.UPDATE.{STREAM}",
    "$JS.API.STREAM.UPDATE.KV_registry",
    "$JS.API.STREAM.CREATE.MINE",
    "$JS.API.STREAM.NAMES",
)


@asynccontextmanager
async def a_service(
    server: RunningNats, name: str
) -> AsyncGenerator[tuple[NatsBus, NatsRegistryStore]]:
    clock = SystemClock()
    errors = ErrorHandler(
        clock=clock,
        randomness=SystemRandomness(),
        metrics=Metrics(),
        resilience=ResilienceRegistry(),
    )
    connection = NatsConnection(server.access(name), server.tls(name), clock=clock, errors=errors)
    ids = SystemIdFactory(clock, SystemRandomness())
    bus = NatsBus(connection, clock=clock, ids=ids, errors=errors)
    await connection.start()
    await bus.start()
    try:
        yield bus, NatsRegistryStore(connection)
    finally:
        await bus.stop()
        await connection.stop()


@async_test
async def test_a_guest_is_a_service_on_the_bus(tmp_path: Path) -> None:
    record = ServiceRecord(
        name=GUEST,
        instance="1",
        address="127.0.0.1:8005",
        version="1",
        state=ComponentState.HEALTHY,
        lease_until_ns=1 << 62,
    )
    async with (
        running_nats(tmp_path, {**BUS_RIGHTS, GUEST: RIGHTS}) as server,
        a_service(server, HOUSE) as (_, houses),
    ):
        await houses.list()  # the house makes the bucket
        async with a_service(server, GUEST) as (bus, registry):
            await registry.put(record)
            assert await houses.list() == [record] == await registry.list()
            await bus.publish(ErrorsSeen(service=GUEST, instance="1", errors=()))
            await registry.delete(record.key)
            assert await houses.list() == []


@async_test
async def test_a_guest_gets_at_no_stored_event_and_hears_nobodys_traces(tmp_path: Path) -> None:
    heard: list[str] = []

    async def note(message: Msg) -> None:
        heard.append(message.subject)

    async with (
        running_nats(tmp_path, {**BUS_RIGHTS, GUEST: RIGHTS}) as server,
        a_service(server, HOUSE),
    ):
        guest, house = await server.client(GUEST), await server.client(HOUSE)
        for subject in (*NOT_HEARD, "ait.>", "_INBOX.>", "_INBOX.*.answer"):
            await guest.subscribe(subject, cb=note)
        await guest.flush()
        for subject in NOT_HEARD:
            await house.publish(subject, b"{}")
        await house.flush()
        for subject in NOT_ASKED:
            with pytest.raises(NatsTimeoutError):
                await guest.request(subject, b"{}", timeout=0.2)
            assert await house.request(subject, b"{}", timeout=30), "the house is answered"
        assert not heard
        await guest.close()
        await house.close()
