"""The embedded Valkey, for real: each service sees its own keys only."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from aitrading.core.kit.errors import AitradingError
from aitrading.core.testing.async_test import async_test
from aitrading.server.kit.bundle import ValkeyAccess
from aitrading.server.kit.valkey import CACHE_REJECTED, ValkeyClient
from aitrading.server.testing.engines import running_valkey

pytestmark = pytest.mark.integration
GUESS = "not it"


@asynccontextmanager
async def client(access: ValkeyAccess) -> AsyncIterator[ValkeyClient]:
    connected = ValkeyClient(access)
    await connected.start()
    try:
        yield connected
    finally:
        await connected.stop()


async def refused(service: ValkeyClient, *command: str, reason: str = "NOPERM") -> None:
    with pytest.raises(AitradingError) as caught:
        await service.call(*command)
    assert caught.value.code == CACHE_REJECTED.code, command
    assert reason in str(caught.value), command


@async_test
async def test_a_service_reads_and_writes_below_its_own_prefix_only(tmp_path: Path) -> None:
    async with running_valkey(tmp_path) as engine:
        async with client(engine.access("data-bridge")) as bridge:
            await bridge.call("SET", "data-bridge:quote:EURUSD", "1.1")
            await refused(bridge, "SET", "api-gateway:session", "stolen")
        async with client(engine.access("api-gateway")) as gateway:
            await refused(gateway, "GET", "data-bridge:quote:EURUSD")


@async_test
async def test_administration_and_the_names_of_others_are_closed_to_services(
    tmp_path: Path,
) -> None:
    async with running_valkey(tmp_path) as engine, client(engine.access("data-bridge")) as bridge:
        for administration in (("CONFIG", "GET", "*"), ("FLUSHALL",), ("ACL", "LIST")):
            await refused(bridge, *administration)
        for names in (("KEYS", "*"), ("SCAN", "0"), ("RANDOMKEY",)):
            await refused(bridge, *names)


@async_test
async def test_a_wrong_password_and_the_default_user_are_refused(tmp_path: Path) -> None:
    async with running_valkey(tmp_path) as engine:
        access = engine.access("data-bridge")
        for stranger in (
            replace(access, password=GUESS),
            replace(access, user="default", password=GUESS),
        ):
            async with client(stranger) as wrong:
                await refused(wrong, "PING", reason="WRONGPASS")


@async_test
async def test_keys_survive_a_restart(tmp_path: Path) -> None:
    async with running_valkey(tmp_path) as engine, client(engine.access("data-bridge")) as bridge:
        await bridge.call("SET", "data-bridge:kept", "yes")
    async with running_valkey(tmp_path) as engine, client(engine.access("data-bridge")) as bridge:
        assert await bridge.call("GET", "data-bridge:kept") == b"yes"
