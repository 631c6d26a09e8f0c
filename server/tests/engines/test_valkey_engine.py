"""The embedded Valkey, for real: each service sees its own keys only."""

from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError

from aitrading.core.testing.async_test import async_test
from aitrading.server.engines.harness import running_valkey
from aitrading.server.kit.bundle import ValkeyAccess

pytestmark = pytest.mark.integration
GUESS = "not it"


def client(access: ValkeyAccess, *, user: str | None = None, password: str | None = None) -> Redis:
    return Redis(
        unix_socket_path=str(access.socket),
        username=user or access.user,
        password=password or access.password,
    )


@async_test
async def test_a_service_reads_and_writes_below_its_own_prefix_only(tmp_path: Path) -> None:
    async with running_valkey(tmp_path) as engine:
        async with client(engine.access("data-bridge")) as bridge:
            await bridge.set("data-bridge:quote:EURUSD", "1.1")
            with pytest.raises(NoPermissionError):
                await bridge.set("api-gateway:session", "stolen")
        async with client(engine.access("api-gateway")) as gateway:
            with pytest.raises(NoPermissionError):
                await gateway.get("data-bridge:quote:EURUSD")


@async_test
async def test_administration_is_closed_to_services(tmp_path: Path) -> None:
    async with running_valkey(tmp_path) as engine, client(engine.access("data-bridge")) as bridge:
        for command in (("CONFIG", "GET", "*"), ("FLUSHALL",), ("ACL", "LIST"), ("KEYS", "*")):
            with pytest.raises(NoPermissionError):
                await bridge.execute_command(*command)


@async_test
async def test_a_wrong_password_and_the_default_user_are_refused(tmp_path: Path) -> None:
    async with running_valkey(tmp_path) as engine:
        access = engine.access("data-bridge")
        async with client(access, password=GUESS) as wrong:
            with pytest.raises(RedisConnectionError):
                await wrong.ping()
        async with Redis(unix_socket_path=str(access.socket)) as anonymous:
            with pytest.raises(RedisConnectionError):
                await anonymous.ping()


@async_test
async def test_keys_survive_a_restart(tmp_path: Path) -> None:
    async with running_valkey(tmp_path) as engine, client(engine.access("data-bridge")) as bridge:
        await bridge.set("data-bridge:kept", "yes")
    async with running_valkey(tmp_path) as engine, client(engine.access("data-bridge")) as bridge:
        assert await bridge.get("data-bridge:kept") == b"yes"
