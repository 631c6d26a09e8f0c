"""The platform's PostgreSQL past its row security, as only its host could read it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

import asyncpg

from aitrading.core.kit.randomness import SystemRandomness
from aitrading.server.engines.passwords import PasswordStore
from aitrading.server.engines.postgres import SUPERUSER, PostgresEngine, PostgresFolders
from aitrading.server.supervisor.home import Home
from harness.platform import Platform

WAIT_S = 30.0


async def connected(platform: Platform) -> Any:
    home = Home(platform.home)
    access = PostgresEngine(
        PostgresFolders(data_root=home.postgres, socket_folder=home.run / "pg"),
        PasswordStore(home.keys / "passwords", SystemRandomness()),
    ).access(SUPERUSER)
    return await asyncpg.connect(
        host=access.host,
        port=access.port,
        user=access.user,
        database=access.database,
        password=access.password,
    )


def rows(platform: Platform, query: str, *arguments: object) -> list[Any]:
    """What a query gives."""

    async def ask() -> list[Any]:
        connection = await connected(platform)
        try:
            return list(await connection.fetch(query, *arguments))
        finally:
            await connection.close()

    return asyncio.run(ask())


@contextmanager
def locked(platform: Platform, *tables: str) -> Iterator[None]:
    """Somebody holds tables and does not let go for the time of the block."""
    platform.renew_tokens()
    held, release = Event(), Event()

    async def hold() -> None:
        connection = await connected(platform)
        async with connection.transaction():
            await connection.execute(f"LOCK TABLE {', '.join(tables)} IN ACCESS EXCLUSIVE MODE")
            held.set()
            await asyncio.to_thread(release.wait)
        await connection.close()

    thread = Thread(target=lambda: asyncio.run(hold()))
    thread.start()
    try:
        assert held.wait(WAIT_S), f"{tables} could not be locked"
        yield
    finally:
        release.set()
        thread.join()
