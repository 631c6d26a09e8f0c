"""The cache client: in order, bounded in time, and never in the way when the cache is gone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.kit.errors import AitradingError
from aitrading.core.testing.async_test import async_test
from aitrading.server.kit.bundle import ValkeyAccess
from aitrading.server.kit.valkey import ValkeyClient
from aitrading.server.testing.engines import running_valkey, socket_folder

pytestmark = pytest.mark.integration
KEY = "database-service:test"


async def code_of(attempt: object) -> str:
    with pytest.raises(AitradingError) as caught:
        await attempt
    return caught.value.code


@asynccontextmanager
async def client_of(access: ValkeyAccess) -> AsyncIterator[ValkeyClient]:
    client = ValkeyClient(access)
    await client.start()
    try:
        yield client
    finally:
        await client.stop()


@async_test
async def test_answers_belong_to_their_questions(tmp_path: Path) -> None:
    async with (
        running_valkey(tmp_path) as valkey,
        client_of(valkey.access("database-service")) as client,
    ):

        async def ask(number: int) -> None:
            await client.call("SET", f"{KEY}:{number}", number)
            assert await client.call("GET", f"{KEY}:{number}") == str(number).encode()

        async with asyncio.TaskGroup() as group:
            for number in range(200):
                group.create_task(ask(number))
        assert await client.calls([("INCR", KEY), ("INCR", KEY)]) == [1, 2]
        assert client.state is ComponentState.HEALTHY


@async_test
async def test_a_foreign_key_or_command_is_refused(tmp_path: Path) -> None:
    async with (
        running_valkey(tmp_path) as valkey,
        client_of(valkey.access("database-service")) as client,
    ):
        assert await code_of(client.call("GET", "api-gateway:session")) == "CACHE_REJECTED"
        assert await code_of(client.call("FLUSHALL")) == "CACHE_REJECTED"
        assert await client.call("PING") == b"PONG"


@async_test
async def test_a_wrong_password_is_refused(tmp_path: Path) -> None:
    async with running_valkey(tmp_path) as valkey:
        access = valkey.access("database-service")
        wrong = ValkeyAccess(user=access.user, password="wrong", socket=access.socket)  # noqa: S106
        async with client_of(wrong) as client:
            assert await code_of(client.call("PING")) == "CACHE_REJECTED"
            assert client.state is ComponentState.DEGRADED


@async_test
async def test_a_stopped_cache_is_told_apart(tmp_path: Path) -> None:
    async with running_valkey(tmp_path) as valkey:
        access = valkey.access("database-service")
        client = ValkeyClient(access)
        await client.start()
        await client.call("PING")
    assert await code_of(client.call("PING")) == "CACHE_UNAVAILABLE"
    assert client.state is ComponentState.DEGRADED
    await client.stop()
    assert await code_of(client.call("PING")) == "CACHE_UNAVAILABLE"


@async_test
async def test_a_silent_cache_is_not_waited_for() -> None:
    answered = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        await answered.wait()
        writer.close()

    with socket_folder() as folder:
        server = await asyncio.start_unix_server(silent, folder / "s")
        access = ValkeyAccess(user="u", password="p", socket=folder / "s")  # noqa: S106
        async with client_of(access) as client:
            assert await code_of(client.call("PING")) == "CACHE_UNAVAILABLE"
        answered.set()
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize("url", ["redis://cache.example.com", "http://x", ""])
@async_test
async def test_plaintext_to_a_host_is_refused(url: str) -> None:
    async with client_of(ValkeyAccess(user="u", password="p", url=url)) as client:  # noqa: S106
        assert await code_of(client.call("PING")) in {
            "DATABASE_PLAINTEXT_REFUSED",
            "DATABASE_URL_MALFORMED",
        }
