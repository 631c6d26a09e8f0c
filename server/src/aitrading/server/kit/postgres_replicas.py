"""Reads that may be a little old go to a replica, and each proves how old it can be at most.

The primary is asked from time to time how far it has written. A replica that has replayed that
position knows everything that was committed before the question, so its answer is at most as old
as the question: no clock of another machine, no table of heartbeats, no extra right is needed.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from math import inf
from typing import Any, Final, cast

import asyncpg

from aitrading.core.kit.errors import AitradingError
from aitrading.server.kit.postgres_cluster import PlainConnection, PostgresCluster
from aitrading.server.kit.postgres_mapping import CONNECTION_FAULTS

DEFAULT_STALENESS_S: Final = 5.0
ASK_AGAIN_S: Final = 1.0
"""A primary that could not be asked is left alone for so long."""
_FRESH: Final = """
SELECT pg_is_in_recovery() AND pg_last_wal_replay_lsn() >= $1::text::pg_lsn
"""
_ANY_POSITION: Final = "0/0"
_FAULTS: Final = (asyncpg.PostgresError, *CONNECTION_FAULTS)


@dataclass(frozen=True, kw_only=True)
class _Mark:
    """Everything committed before `asked_s` lies before this position of the primary."""

    position: str
    asked_s: float


class ReplicaReads:
    """Read-only transactions on replicas; without replicas there are none."""

    def __init__(
        self, cluster: PostgresCluster, ask_primary: Callable[[], Awaitable[str]]
    ) -> None:
        self._cluster = cluster
        self._ask_primary = ask_primary
        self._pool: asyncpg.Pool | None = None
        self._mark: _Mark | None = None
        self._rests_until_s = 0.0
        self._served = 0
        cluster.on_switch.append(self._forget)

    @property
    def served(self) -> int:
        """Transactions that a replica answered."""
        return self._served

    async def open(self, driver: dict[str, Any], max_connections: int) -> None:
        """Connects when somebody reads; an absent replica delays no start."""
        self._pool = await asyncpg.create_pool(
            connect=self._cluster.connect_replica,
            min_size=0,
            max_size=max_connections,
            connection_class=PlainConnection,
            **driver,
        )

    def close(self) -> asyncpg.Pool | None:
        """Give the pool away to be closed."""
        pool, self._pool = self._pool, None
        return pool

    @asynccontextmanager
    async def begun(self, setting: str, max_staleness_s: float) -> AsyncGenerator[Any | None]:
        """A begun read-only transaction on a replica; None where the primary must answer."""
        pool = self._pool
        connection = None if pool is None else await self._begin(pool, setting, max_staleness_s)
        if pool is None or connection is None:
            yield None
            return
        try:
            yield connection
        finally:
            self._served += 1
            await _give_back(pool, connection)

    async def _begin(self, pool: asyncpg.Pool, setting: str, max_staleness_s: float) -> Any | None:
        position = await self._position(max_staleness_s)
        if position is None:
            return None
        connection: Any = None
        try:
            connection = await cast("Any", pool).acquire()
            await connection.execute(f"BEGIN READ ONLY; SET LOCAL app.tenant = '{setting}'")
            if await connection.fetchval(_FRESH, position):
                return connection
        except _FAULTS:
            pass
        except BaseException:
            await _give_back(pool, connection)
            raise
        await _give_back(pool, connection)
        return None

    async def _position(self, max_staleness_s: float) -> str | None:
        """What a replica must have replayed to be fresh enough; None when nobody can tell."""
        if max_staleness_s == inf:
            return _ANY_POSITION
        now_s = asyncio.get_running_loop().time()
        age_s = inf if self._mark is None else now_s - self._mark.asked_s
        if age_s > max_staleness_s / 2 and now_s >= self._rests_until_s:
            try:
                self._mark = _Mark(position=await self._ask_primary(), asked_s=now_s)
                age_s = 0.0
            except AitradingError:
                self._rests_until_s = now_s + ASK_AGAIN_S
        if self._mark is None or age_s > max_staleness_s:
            return None
        return self._mark.position

    async def _forget(self) -> None:
        """Another primary counts on its own; a replica may be the primary now."""
        self._mark = None
        if self._pool is not None:
            await self._pool.expire_connections()


async def _give_back(pool: asyncpg.Pool, connection: Any) -> None:
    """Nothing was changed, so the transaction's end needs no answer that could be missed."""
    if connection is None:
        return
    with suppress(*_FAULTS):
        await connection.execute("ROLLBACK")
    with suppress(*_FAULTS):
        await pool.release(connection)
