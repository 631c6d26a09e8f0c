"""Engines that outlive one test or benchmark: an event loop in a thread, a shared PostgreSQL."""

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from itertools import count
from typing import Any, Final, TypeVar, cast

import asyncpg
import msgspec

from aitrading.server.engines.postgres import DATABASE, SUPERUSER, PostgresEngine
from aitrading.server.kit.bundle import PostgresAccess

T = TypeVar("T")
STEP_TIMEOUT_S: Final = 240.0


class EngineLoop:
    """An event loop in a thread of its own; `close` ends both."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="engines")
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run in that loop and wait for the value."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(STEP_TIMEOUT_S)

    def enter(self, manager: AbstractAsyncContextManager[T]) -> T:
        """Enter an asynchronous context manager there."""
        return self.run(_enter(manager))

    def leave(self, manager: AbstractAsyncContextManager[Any]) -> None:
        """Leave it again."""
        self.run(_leave(manager))

    def close(self) -> None:
        """Stop the loop and wait for its thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _enter(manager: AbstractAsyncContextManager[T]) -> T:
    return await manager.__aenter__()


async def _leave(manager: AbstractAsyncContextManager[Any]) -> None:
    await manager.__aexit__(None, None, None)


class PostgresServer:
    """A running PostgreSQL: `access(role)` for the migrated database, or one made on demand."""

    def __init__(self, engine: PostgresEngine, loop: EngineLoop) -> None:
        self._engine = engine
        self._loop = loop
        self._numbers = count(1)

    def access(self, role: str, database: str = DATABASE) -> PostgresAccess:
        """How a role logs in to one of the databases."""
        return msgspec.structs.replace(self._engine.access(role), database=database)

    def empty_database(self) -> str:
        """A new database of the same owner, without any migration."""
        name = f"empty_{next(self._numbers)}"
        self._loop.run(self._as_superuser(f"CREATE DATABASE {name} OWNER aitrading_owner"))
        return name

    def as_superuser(self, sql: str, database: str = DATABASE) -> list[asyncpg.Record]:
        """Run one query, or several statements, above every row policy."""
        return self._loop.run(self._as_superuser(sql, database))

    async def _as_superuser(self, sql: str, database: str = DATABASE) -> list[asyncpg.Record]:
        access = self.access(SUPERUSER, database)
        connection: Any = await cast("Any", asyncpg).connect(
            host=access.host,
            port=access.port,
            user=access.user,
            password=access.password,
            database=database,
        )
        try:
            if ";" in sql:
                await connection.execute(sql)
                return []
            return await connection.fetch(sql)
        finally:
            await connection.close()
