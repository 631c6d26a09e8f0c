"""What a service registry promises, asked of NATS key-value and of the store in memory alike."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from msgspec import structs

from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.resilience import ResilienceRegistry
from aitrading.core.infrastructure.service_registry import (
    MemoryRegistryStore,
    RegistryStore,
    ServiceRecord,
)
from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.testing.async_test import async_test
from aitrading.server.kit.nats_connection import NatsConnection
from aitrading.server.kit.registry_nats import NatsRegistryStore
from aitrading.server.testing.engines import running_nats

Opened = Callable[[], AbstractAsyncContextManager[RegistryStore]]


def record(instance: str = "1", state: ComponentState = ComponentState.HEALTHY) -> ServiceRecord:
    return ServiceRecord(
        name="data-bridge",
        instance=instance,
        address="127.0.0.1:8001",
        version="0.1.0",
        state=state,
        lease_until_ns=5,
        capabilities=("link",),
    )


@asynccontextmanager
async def connected(folder: Path) -> AsyncIterator[tuple[NatsConnection, NatsRegistryStore]]:
    clock = SystemClock()
    async with running_nats(folder) as nats:
        connection = NatsConnection(
            nats.access("data-bridge"),
            nats.tls("data-bridge"),
            clock=clock,
            errors=ErrorHandler(
                clock=clock,
                randomness=SystemRandomness(),
                metrics=Metrics(),
                resilience=ResilienceRegistry(),
            ),
        )
        await connection.start()
        try:
            yield connection, NatsRegistryStore(connection)
        finally:
            await connection.stop()


@pytest.fixture(params=["memory", pytest.param("nats", marks=pytest.mark.integration)])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Opened:
    @asynccontextmanager
    async def memory() -> AsyncIterator[RegistryStore]:
        yield MemoryRegistryStore()

    @asynccontextmanager
    async def nats() -> AsyncIterator[RegistryStore]:
        async with connected(tmp_path) as (_, store):
            yield store

    return memory if request.param == "memory" else nats


@async_test
async def test_a_record_is_given_back_as_it_was_put(opened: Opened) -> None:
    async with opened() as store:
        assert await store.get("data-bridge.1") is None
        await store.put(record())
        assert await store.get("data-bridge.1") == record()
        changed = record(state=ComponentState.DEGRADED)
        await store.put(changed)
        assert await store.get("data-bridge.1") == changed


@async_test
async def test_all_records_are_listed(opened: Opened) -> None:
    async with opened() as store:
        assert await store.list() == []
        await store.put(record("1"))
        await store.put(record("2"))
        assert sorted(found.instance for found in await store.list()) == ["1", "2"]


@async_test
async def test_a_deleted_record_is_gone_and_deleting_twice_is_harmless(opened: Opened) -> None:
    async with opened() as store:
        await store.put(record())
        await store.delete("data-bridge.1")
        await store.delete("data-bridge.1")
        assert await store.get("data-bridge.1") is None
        assert await store.list() == []
        await store.put(record())
        assert await store.list() == [record()]


@async_test
async def test_a_watch_tells_what_is_there_and_then_every_change(opened: Opened) -> None:
    async with opened() as store:
        await store.put(record("1"))
        async with aclosing(cast("Any", store.watch())) as changes:
            first = await anext(changes)
            assert (first.key, first.record) == ("data-bridge.1", record("1"))
            await store.put(record("2"))
            await store.delete("data-bridge.1")
            second, third = await anext(changes), await anext(changes)
            assert second.record == record("2")
            assert (third.key, third.record) == ("data-bridge.1", None)


@pytest.mark.integration
@async_test
async def test_a_lost_store_ends_a_watch_and_refuses_everything(tmp_path: Path) -> None:
    async with connected(tmp_path) as (connection, store):
        await store.put(record())
        async with aclosing(cast("Any", store.watch())) as changes:
            await anext(changes)
            await connection.client.close()
            with pytest.raises(AitradingError, match="REGISTRY_UNAVAILABLE"):
                await anext(changes)


@pytest.mark.integration
@async_test
async def test_without_a_connection_every_method_says_so_at_once(tmp_path: Path) -> None:
    async with connected(tmp_path) as (connection, store):
        await connection.stop()
        calls = [
            lambda: store.put(record()),
            lambda: store.get("x.1"),
            store.list,
            lambda: store.delete("x.1"),
            lambda: anext(cast("Any", store.watch())),
        ]
        for call in calls:
            with pytest.raises(AitradingError, match="REGISTRY_UNAVAILABLE"):
                await call()


@pytest.mark.integration
@async_test
async def test_nobody_registers_under_another_name(tmp_path: Path) -> None:
    """The bus drops what is written to another's key; a key of one's own cannot bear its name."""
    forged = structs.replace(record("evil"), name="api-gateway")
    async with connected(tmp_path) as (connection, store):
        await store.put(record())
        with pytest.raises(AitradingError, match="registry"):
            await store.put(forged)
        bucket = await connection.client.jetstream().key_value("registry")
        await bucket.put("data-bridge.forged", msgspec.json.encode(forged))
        await bucket.put("data-bridge.garbage", b"\xff{")
        assert await store.list() == [record()]
        assert await store.get("api-gateway.evil") is None
        async with aclosing(cast("Any", store.watch())) as changes:
            first = [await anext(changes)]
        assert [change.record for change in first] == [record()]
