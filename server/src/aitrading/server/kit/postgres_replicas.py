"""Reads that may be a little old go to a replica, and each proves how old it can be at most.

The primary is asked from time to time how far it has written. A replica that has replayed that
position knows everything that was committed before the question, so its answer is at most as old
as the question: no clock of another machine, no table of heartbeats, no extra right is needed.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain
from math import inf
from typing import Any, Final

import asyncpg

from aitrading.core.infrastructure.metrics import Reading
from aitrading.core.infrastructure.resilience import CircuitBreaker
from aitrading.core.kit.errors import AitradingError
from aitrading.server.kit.bundle import PostgresAddress
from aitrading.server.kit.connection_pool import ConnectionPool
from aitrading.server.kit.pool_reports import REPLICA_READS, PoolReports, readings_of
from aitrading.server.kit.postgres_cluster import PostgresCluster
from aitrading.server.kit.postgres_mapping import CONNECTION_FAULTS, mapped_errors
from aitrading.server.kit.transaction_run import READ_ONLY, beginning

DEFAULT_STALENESS_S: Final = 5.0
ASK_AGAIN_S: Final = 1.0
"""A primary that could not be asked is left alone for so long."""
BEGIN_TIMEOUT_S: Final = 2.0
"""A replica that does not say within so long how far it is, is not waited for."""
_FRESH: Final = """
SELECT pg_is_in_recovery() AND pg_last_wal_replay_lsn() >= $1::text::pg_lsn
"""
_ANY_POSITION: Final = "0/0"


@dataclass(frozen=True, kw_only=True)
class _Mark:
    """Everything committed before `asked_s` lies before this position of the primary."""

    position: str
    asked_s: float


class Replica:
    """One server that may be a standby: its connections, its breaker, and what it answered."""

    def __init__(
        self, server: PostgresAddress, pool: ConnectionPool, breaker: CircuitBreaker
    ) -> None:
        self.server = server
        self.pool = pool
        self.served = self.stale = 0
        self._breaker = breaker

    async def begin(self, setting: str, position: str, timeout_s: float) -> Any | None:
        """A begun read-only transaction that is fresh enough; None where somebody else must do."""
        try:
            with self._breaker.guard(), mapped_errors():
                connection = await self.pool.acquire(timeout_s)
                try:
                    async with asyncio.timeout(BEGIN_TIMEOUT_S):
                        await connection.execute(beginning(setting, READ_ONLY))
                        fresh = await connection.fetchval(_FRESH, position)
                except BaseException:
                    self.pool.release(connection, clean=False)
                    raise
        except AitradingError:
            return None
        if fresh:
            return connection
        self.stale += 1
        await self.end(connection)
        return None

    async def end(self, connection: Any) -> None:
        """Nothing was changed, so the transaction's end needs no answer that could be missed."""
        clean = False
        try:
            with suppress(asyncpg.PostgresError, *CONNECTION_FAULTS):
                await connection.execute("ROLLBACK")
                clean = True
        finally:
            self.pool.release(connection, clean=clean)


class ReplicaReads:
    """Read-only transactions on replicas; without replicas there are none."""

    def __init__(
        self,
        cluster: PostgresCluster,
        ask_primary: Callable[[], Awaitable[str]],
        role: str,
        reports: PoolReports,
    ) -> None:
        self._cluster = cluster
        self._ask_primary = ask_primary
        self._role = role
        self._reports = reports
        self._replicas: tuple[Replica, ...] = ()
        self._limit = 0
        self._acquire_timeout_s = 0.0
        self._turn = 0
        self._mark: _Mark | None = None
        self._rests_until_s = 0.0
        cluster.on_switch.append(self._forget)

    @property
    def served(self) -> int:
        """Transactions that a replica answered."""
        return sum(replica.served for replica in self._replicas)

    def open(self, driver: dict[str, Any], limit: int, acquire_timeout_s: float) -> None:
        """Connects when somebody reads; an absent replica delays no start."""
        self._limit, self._acquire_timeout_s = limit, acquire_timeout_s
        self._replicas = tuple(self._replica(server, driver) for server in self._cluster.servers)

    async def close(self, timeout_s: float) -> None:
        """End every connection."""
        replicas, self._replicas = self._replicas, ()
        for replica in replicas:
            await replica.pool.close(timeout_s)

    @asynccontextmanager
    async def begun(self, setting: str, max_staleness_s: float) -> AsyncGenerator[Any | None]:
        """A begun read-only transaction on a replica; None where the primary must answer."""
        position = await self._position(max_staleness_s) if self._replicas else None
        if position is not None:
            for replica in self._by_turn():
                connection = await replica.begin(setting, position, self._acquire_timeout_s)
                if connection is not None:
                    try:
                        yield connection
                    finally:
                        replica.served += 1
                        await replica.end(connection)
                    return
        yield None

    def readings(self) -> Iterator[Reading]:
        """Numbers for metrics, of every server that is no primary now."""
        for replica in self._others():
            yield from readings_of(
                replica.pool.occupation(), self._limit, self._role, replica.server.name
            )
        for replica in self._replicas:
            for outcome, count in (("served", replica.served), ("stale", replica.stale)):
                yield Reading(REPLICA_READS, count, (self._role, replica.server.name, outcome))

    def _replica(self, server: PostgresAddress, driver: dict[str, Any]) -> Replica:
        pool = ConnectionPool(
            partial(self._cluster.connect_replica, server, **driver),
            least=0,
            limit=self._limit,
            observe=self._reports.observer(self._role, server.name),
        )
        return Replica(server, pool, self._reports.breaker(self._role, server.name))

    def _others(self) -> list[Replica]:
        primary = self._cluster.primary_address
        return [replica for replica in self._replicas if replica.server != primary]

    def _by_turn(self) -> Iterator[Replica]:
        replicas = self._others()
        self._turn = (self._turn + 1) % max(len(replicas), 1)
        return chain(replicas[self._turn :], replicas[: self._turn])

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

    def _forget(self) -> None:
        """Another primary counts on its own; a replica may be the primary now."""
        self._mark = None
        for replica in self._replicas:
            replica.pool.expire()
