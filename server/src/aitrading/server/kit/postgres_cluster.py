"""Which of up to three servers is the primary: asked of each new connection, never configured.

A promotion raises the timeline. The highest timeline ever seen is remembered, and a primary of a
lower one is refused: a killed primary that comes back cannot take a single row.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, cast

import asyncpg
from typing_extensions import override

from aitrading.core.kit.errors import AitradingError
from aitrading.server.kit.bundle import PostgresAccess, PostgresAddress
from aitrading.server.kit.database_errors import DATABASE_NO_PRIMARY
from aitrading.server.kit.postgres_mapping import CONNECTION_FAULTS

REST_S: Final = 5.0
"""A server that did not answer as a replica is not asked again for so long."""
_IDENTITY: Final = """
SELECT (SELECT system_identifier FROM pg_control_system()) AS cluster,
       pg_is_in_recovery() AS standby,
       CASE WHEN pg_is_in_recovery() THEN NULL
            ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END AS timeline
"""
_CONNECTING_FAULTS: Final = (asyncpg.PostgresError, *CONNECTION_FAULTS)
Driver = dict[str, Any]
"""What the driver is told besides host and port."""


class PlainConnection(asyncpg.Connection):
    """Nothing has to be reset between two users: whatever they set ended with a transaction."""

    @override
    def get_reset_query(self) -> str:
        return ""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What a server says of itself; a standby has no timeline of its own."""

    cluster: int
    timeline: int | None


@dataclass(frozen=True, kw_only=True)
class _Found:
    """One server's answer; `fault` says why its connection is of no use."""

    server: PostgresAddress
    fault: str = ""
    connection: Any = None
    identity: Identity | None = None


class PostgresCluster:
    """The servers of one PostgreSQL, and what is known of them now.

    A single server is taken as it is and not asked. `on_switch` runs when another server turned
    out to be the primary, so that connections to the old one are given up.
    """

    def __init__(self, access: PostgresAccess) -> None:
        self._servers = access.servers
        self._primary = self._servers[0]
        self._cluster: int | None = None
        self._timeline = 0
        self._switches = 0
        self._turn = 0
        self._rests_until: dict[PostgresAddress, float] = {}
        self._search = asyncio.Lock()
        self.on_switch: list[Callable[[], Awaitable[None]]] = []

    @property
    def has_replicas(self) -> bool:
        """Whether more than one server was given."""
        return len(self._servers) > 1

    @property
    def primary_address(self) -> PostgresAddress:
        """The primary as far as is known."""
        return self._primary

    @property
    def switches(self) -> int:
        """How often another server became the primary."""
        return self._switches

    async def connect_primary(self, *_: object, **driver: Any) -> Any:
        """A connection to the one server that may be written to; else `DATABASE_NO_PRIMARY`."""
        if not self.has_replicas:
            return await _open(self._primary, driver)
        async with self._search:
            known = await self._look_at(self._primary, driver)
            if self._is_primary(known):
                return await self._take([known])
            others = [server for server in self._servers if server != self._primary]
            try:
                return await self._take([known, *await self._survey(others, driver)])
            except BaseException:
                _abandon([known])
                raise

    async def connect_replica(self, *_: object, **driver: Any) -> Any:
        """A connection to a standby, by turns; `ConnectionError` when none answers."""
        now_s = asyncio.get_running_loop().time()
        for server in self._replicas_by_turn():
            if self._rests_until.get(server, 0.0) > now_s:
                continue
            found = await self._look_at(server, driver)
            if found.identity is not None and found.identity.timeline is None and not found.fault:
                return found.connection
            await _drop(found)
            self._rests_until[server] = now_s + REST_S
        raise ConnectionError("no replica answers")

    def _replicas_by_turn(self) -> Sequence[PostgresAddress]:
        replicas = [server for server in self._servers if server != self._primary]
        self._turn = (self._turn + 1) % max(len(replicas), 1)
        return list(chain(replicas[self._turn :], replicas[: self._turn]))

    async def _survey(self, servers: Sequence[PostgresAddress], driver: Driver) -> list[_Found]:
        found: list[_Found] = []

        async def look_at(server: PostgresAddress) -> None:
            found.append(await self._look_at(server, driver))

        try:
            async with asyncio.TaskGroup() as group:
                for server in servers:
                    group.create_task(look_at(server))
        except BaseException:
            _abandon(found)
            raise
        return found

    async def _look_at(self, server: PostgresAddress, driver: Driver) -> _Found:
        connection = None
        try:
            connection = await _open(server, driver)
            row = await connection.fetchrow(_IDENTITY)
        except _CONNECTING_FAULTS as exc:
            if connection is not None:
                connection.terminate()
            return _Found(server=server, fault=type(exc).__name__)
        except BaseException:
            if connection is not None:
                connection.terminate()
            raise
        timeline = None if row["standby"] else int(row["timeline"], 16)
        identity = Identity(cluster=row["cluster"], timeline=timeline)
        return _Found(
            server=server,
            connection=connection,
            identity=identity,
            fault=self._objection(identity),
        )

    def _objection(self, identity: Identity) -> str:
        if self._cluster not in (None, identity.cluster):
            return "belongs to another cluster"
        if identity.timeline is not None and identity.timeline < self._timeline:
            return f"an outdated primary of timeline {identity.timeline}"
        return ""

    def _is_primary(self, found: _Found) -> bool:
        return not found.fault and found.identity is not None and bool(found.identity.timeline)

    async def _take(self, found: Sequence[_Found]) -> Any:
        """Keep the primary of the highest timeline, close the rest."""
        primaries = [each for each in found if self._is_primary(each)]
        best = max(primaries, key=_timeline_of, default=None)
        for each in found:
            if each is not best:
                await _drop(each)
        if best is None or best.identity is None:
            raise self._without(found)
        self._cluster = best.identity.cluster
        await self._note_primary(best.server, _timeline_of(best))
        return best.connection

    async def _note_primary(self, server: PostgresAddress, timeline: int) -> None:
        switched = self._timeline > 0 and (server != self._primary or timeline > self._timeline)
        self._primary, self._timeline = server, timeline
        if switched:
            self._switches += 1
            self._rests_until.clear()
            for hook in self.on_switch:
                await hook()

    def _without(self, found: Sequence[_Found]) -> AitradingError:
        seen = "; ".join(
            f"{each.server.host}:{each.server.port} {each.fault or 'a standby'}" for each in found
        )
        return DATABASE_NO_PRIMARY.error(seen=seen)


def _timeline_of(found: _Found) -> int:
    return (found.identity.timeline or 0) if found.identity else 0


async def _drop(found: _Found) -> None:
    if found.connection is not None:
        with suppress(*_CONNECTING_FAULTS):
            await found.connection.close(timeout=1.0)


def _abandon(found: Sequence[_Found]) -> None:
    for each in found:
        if each.connection is not None:
            each.connection.terminate()


async def _open(server: PostgresAddress, driver: Driver) -> Any:
    return await cast("Any", asyncpg).connect(host=server.host, port=server.port, **driver)
