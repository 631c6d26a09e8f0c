"""Which of up to three servers is the primary: asked of each new connection, never configured.

A promotion raises the timeline. The newest primary ever seen is remembered (`PrimaryRecord`), and a
primary of a lower timeline, or of another cluster, is refused: an old primary that comes back, or
that nobody stopped, cannot take a single row. Every server is looked at when a process starts, when
the primary is lost, and every minute that a connection is opened in: a promotion is noticed although
the old primary goes on, and a standby that follows the new primary is believed, too.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ssl import SSLCertVerificationError
from typing import Any, Final, cast

import asyncpg

from aitrading.core.kit.errors import AitradingError
from aitrading.server.kit.bundle import PostgresAccess, PostgresAddress
from aitrading.server.kit.connection_pool import PlainConnection
from aitrading.server.kit.database_errors import (
    DATABASE_CLUSTER_FOREIGN,
    DATABASE_NO_PRIMARY,
    DATABASE_PRIMARY_OUTDATED,
    DATABASE_SERVER_UNTRUSTED,
)
from aitrading.server.kit.postgres_mapping import CONNECTION_FAULTS
from aitrading.server.kit.primary_record import PrimaryRecord, Standing

SURVEY_PATIENCE_S: Final = 1.0
"""How long a survey waits for servers that do not answer, when a primary is found."""
SURVEY_EVERY_S: Final = 60.0
"""How long the known primary is enough; connections are made anew every five minutes."""
GLANCE_EVERY_S: Final = 1.0
"""How often a pool in use looks whether another process met a newer primary."""
_IDENTITY: Final = """
SELECT s.system_identifier AS cluster, pg_is_in_recovery() AS standby,
       CASE WHEN pg_is_in_recovery() THEN greatest(c.timeline_id, r.min_recovery_end_timeline)
            ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer
       END AS timeline
  FROM pg_control_system() s, pg_control_checkpoint() c, pg_control_recovery() r
"""
_CONNECTING_FAULTS: Final = (asyncpg.PostgresError, *CONNECTION_FAULTS)
Driver = dict[str, Any]
"""What the driver is told besides host and port."""


@dataclass(frozen=True, kw_only=True)
class _Found:
    """One server's answer; `absent` says why there is none."""

    server: PostgresAddress
    absent: str = ""
    untrusted: str = ""
    """What is wrong with its certificate."""
    connection: Any = None
    standby: bool = False
    standing: Standing | None = None

    @property
    def is_primary(self) -> bool:
        """Whether it believes to be the primary."""
        return self.standing is not None and not self.standby


class PostgresCluster:
    """The servers of one PostgreSQL, and what is known of them now.

    A server on a Unix socket that stands alone is the embedded one: it is taken as it is and not
    asked. `on_switch` runs when another server, or a newer timeline, turned out to be the
    primary's, so that connections to the old one are given up.
    """

    def __init__(self, access: PostgresAccess) -> None:
        self._servers = access.servers
        self._asks = len(access.servers) > 1 or access.primary_record is not None
        self._record = PrimaryRecord(access.primary_record)
        self._primary = self._servers[0]
        self._met: Standing | None = None
        """The primary that present connections lead to."""
        self._switches = 0
        self._glance_s = self._survey_s = 0.0
        self._search = asyncio.Lock()
        self.on_switch: list[Callable[[], None]] = []

    @property
    def has_replicas(self) -> bool:
        """Whether more than one server was given."""
        return len(self._servers) > 1

    @property
    def servers(self) -> Sequence[PostgresAddress]:
        """Every server, in the order in which they were given."""
        return self._servers

    @property
    def primary_address(self) -> PostgresAddress:
        """The primary as far as is known."""
        return self._primary

    @property
    def switches(self) -> int:
        """How often another server became the primary."""
        return self._switches

    def glance(self) -> None:
        """Give up connections to a primary than which another process has met a newer one."""
        if not self._asks or self._met is None:
            return
        now_s = asyncio.get_running_loop().time()
        if now_s < self._glance_s:
            return
        self._glance_s = now_s + GLANCE_EVERY_S
        known = self._record.known()
        if known is not None and known != self._met:
            self._met = None
            self._announce()

    async def connect_primary(self, **driver: Any) -> Any:
        """A connection to the one server that may be written to.

        Raises `DATABASE_NO_PRIMARY`, `DATABASE_PRIMARY_OUTDATED` or `DATABASE_CLUSTER_FOREIGN`.
        """
        if not self._asks:
            return await _open(self._primary, driver)
        async with self._search:
            now_s = asyncio.get_running_loop().time()
            if self._met is None or now_s >= self._survey_s:
                self._survey_s = now_s + SURVEY_EVERY_S
                return await self._take(await self._survey(self._servers, driver))
            known = await self._look_at(self._primary, driver)
            if self._objection(known) is None and known.is_primary:
                return await self._take([known])
            others = [server for server in self._servers if server != self._primary]
            try:
                return await self._take([known, *await self._survey(others, driver)])
            except BaseException:
                _abandon([known])
                raise

    async def connect_replica(self, server: PostgresAddress, **driver: Any) -> Any:
        """A connection to this server while it is a standby; else `ConnectionError`."""
        found = await self._look_at(server, driver)
        if found.standby and self._objection(found) is None:
            return found.connection
        await _drop(found)
        raise ConnectionError(f"no replica: {found.absent or 'not a standby of this cluster'}")

    async def _survey(
        self, servers: Sequence[PostgresAddress], driver: Driver
    ) -> Sequence[_Found]:
        """Look at servers at once; with a primary in sight the silent are not waited for."""
        looks: dict[asyncio.Task[_Found], PostgresAddress] = {}
        found: list[_Found] = []
        try:
            async with asyncio.TaskGroup() as group:
                for server in servers:
                    looks[group.create_task(self._look_at(server, driver))] = server
                left = set(looks)
                while left:
                    patience_s = SURVEY_PATIENCE_S if any(e.is_primary for e in found) else None
                    done, left = await asyncio.wait(
                        left, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED
                    )
                    if not done:
                        break
                    found += [look.result() for look in done]
                for look in left:
                    look.cancel()
        except BaseException:
            ended = [look for look in looks if look.done() and not look.cancelled()]
            _abandon([look.result() for look in ended if look.exception() is None])
            raise
        silent = [server for look, server in looks.items() if look.cancelled()]
        return [
            *(look.result() for look in looks if not look.cancelled()),
            *(_Found(server=server, absent="no answer") for server in silent),
        ]

    async def _look_at(self, server: PostgresAddress, driver: Driver) -> _Found:
        connection = None
        try:
            connection = await _open(server, driver)
            row = await connection.fetchrow(_IDENTITY)
        except _CONNECTING_FAULTS as exc:
            if connection is not None:
                connection.terminate()
            untrusted = exc.verify_message if isinstance(exc, SSLCertVerificationError) else ""
            return _Found(server=server, absent=type(exc).__name__, untrusted=untrusted)
        except BaseException:
            if connection is not None:
                connection.terminate()
            raise
        standing = Standing(cluster=row["cluster"], timeline=row["timeline"])
        return _Found(
            server=server, connection=connection, standby=row["standby"], standing=standing
        )

    def _is_usable(self, found: _Found) -> bool:
        return found.is_primary and self._objection(found) is None

    def _objection(self, found: _Found, newest: int = 0) -> AitradingError | None:
        """Why a server that answered must not be used."""
        known, standing = self._record.known(), found.standing
        if standing is None:
            return None
        told = {"server": found.server.name, **_told(standing)}
        if known is not None and known.cluster != standing.cluster:
            return DATABASE_CLUSTER_FOREIGN.error(known=str(known.cluster), **told)
        newest = max(newest, known.timeline if known else 0)
        if found.is_primary and standing.timeline < newest:
            return DATABASE_PRIMARY_OUTDATED.error(newest=newest, **told)
        return None

    async def _take(self, found: Sequence[_Found]) -> Any:
        """Keep the primary of the highest timeline, close the rest."""
        primaries = [each for each in found if each.is_primary]
        usable = [each for each in primaries if self._is_usable(each)]
        best = max(usable or primaries, key=_timeline_of, default=None)
        try:
            for each in found:
                if each is not best:
                    await _drop(each)
            await self._accept(best, found)
        except BaseException:
            _abandon(found)
            raise
        return None if best is None else best.connection

    async def _accept(self, best: _Found | None, found: Sequence[_Found]) -> None:
        """Remember the primary before its first use, or raise why there is none.

        Standbys of its cluster may know of a newer one.
        """
        if best is None or best.standing is None:
            raise self._without(found)
        standing = best.standing
        newest = max(
            each.standing.timeline
            for each in found
            if each.standing is not None and each.standing.cluster == standing.cluster
        )
        if refusal := self._objection(best, newest):
            raise refusal
        if self._record.known() != standing:
            await asyncio.to_thread(self._record.note, standing)
        if refusal := self._objection(best):
            raise refusal
        self._note_primary(best.server, standing)

    def _note_primary(self, server: PostgresAddress, standing: Standing) -> None:
        switched = self._met is not None and (server, standing) != (self._primary, self._met)
        self._primary, self._met = server, standing
        if switched:
            self._announce()

    def _announce(self) -> None:
        self._switches += 1
        for hook in self.on_switch:
            hook()

    def _without(self, found: Sequence[_Found]) -> AitradingError:
        for each in found:
            if each.untrusted:
                problem = f"{each.server.name}: {each.untrusted}"
                return DATABASE_SERVER_UNTRUSTED.error(problem=problem)
        seen = "; ".join(f"{each.server.name} {each.absent or 'a standby'}" for each in found)
        return DATABASE_NO_PRIMARY.error(seen=seen)


def _timeline_of(found: _Found) -> int:
    return found.standing.timeline if found.standing else 0


def _told(standing: Standing) -> dict[str, str | int]:
    """A cluster's number has more digits than a JSON reader may keep, so it is told as text."""
    return {"cluster": str(standing.cluster), "timeline": standing.timeline}


async def _drop(found: _Found) -> None:
    if found.connection is not None:
        with suppress(*_CONNECTING_FAULTS):
            await found.connection.close(timeout=1.0)


def _abandon(found: Sequence[_Found]) -> None:
    for each in found:
        if each.connection is not None:
            each.connection.terminate()


async def _open(server: PostgresAddress, driver: Driver) -> Any:
    return await cast("Any", asyncpg).connect(
        host=server.host, port=server.port, connection_class=PlainConnection, **driver
    )
