"""The probes of PostgreSQL, ClickHouse and the cache."""

import asyncio
from typing import Any, Final
from uuid import UUID

import numpy as np
from typing_extensions import override

from aitrading.core.kit.clock import Clock
from aitrading.core.kit.ids import IdFactory, TenantId
from aitrading.core.security.db_security_manager import Store, StoreTarget, accept_url
from aitrading.server.database_service.call_sites import SERVICE
from aitrading.server.database_service.clickhouse.native import Column, encode_block
from aitrading.server.database_service.clickhouse.port import ClickHouse
from aitrading.server.database_service.examination.port import (
    PROBE_LIFE_S,
    Identity,
    StoreProbe,
)
from aitrading.server.database_service.https_store import verified_context
from aitrading.server.kit.bundle import PostgresAccess, ValkeyAccess
from aitrading.server.kit.cache.backend import CacheBackend
from aitrading.server.kit.cache.port import Cache
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.queries import Queries
from aitrading.server.kit.valkey import ValkeyClient

DOCTOR: Final = TenantId(UUID("00000000-0000-4000-8000-00000d0c7012"))
"""Owns what is written for an examination; no organisation is ever given this number."""
ROW: Final = f"{0xD0C:016x}"
VECTOR_ROW: Final = f"{0xD0D:016x}"
TESTED_POSTGRES: Final = frozenset({15, 18})
TESTED_CLICKHOUSE: Final = 26
TESTED_CACHE: Final = {"redis": "7.", "valkey": "9."}
SQL: Final = Queries.load(__package__ or "", "examination.sql")
_TABLE: Final = "default.aitrading_doctor"
"""Not in a database of ours, so that no backup and no migration meets it."""
_CLEAR: Final = "DROP TABLE IF EXISTS default.aitrading_doctor SYNC"
_CREATE: Final = "CREATE TABLE default.aitrading_doctor (n UInt64) ENGINE = MergeTree ORDER BY n"
_SUM: Final = "SELECT sum(n) AS n FROM default.aitrading_doctor"
_DROP: Final = "DROP TABLE default.aitrading_doctor SYNC"
_NUMBER: Final = np.dtype([("n", "<u8")])
_VERSION: Final = np.dtype([("version", "S32")])


async def reach(host: str, port: int, target: StoreTarget | None = None) -> None:
    """Open a connection and close it: over TLS when there is a target to verify."""
    if host.startswith("/"):
        _, writer = await asyncio.open_unix_connection(host)
    else:
        context = verified_context(target) if target else None
        _, writer = await asyncio.open_connection(host, port, ssl=context)
    writer.transport.abort()


class PostgresProbe(StoreProbe):
    """A row of a table with row security, under a tenant of its own."""

    store = "relational"

    def __init__(self, pool: PostgresPool, access: PostgresAccess, ids: IdFactory) -> None:
        self._pool = pool
        self._access = access
        self._ids = ids
        self._text = ""

    @override
    async def connect(self) -> None:
        """A server is asked for TLS only after that; the login, which follows, verifies it.

        Of several, one that is there is enough: the login finds the primary, or says why not.
        """
        failures: list[OSError] = []
        for server in self._access.servers:
            host, port = server.host, server.port
            try:
                await reach(f"{host}/.s.PGSQL.{port}" if host.startswith("/") else host, port)
            except OSError as exc:
                failures.append(exc)
            else:
                return
        raise failures[0]

    @override
    async def authenticate(self) -> Identity:
        async with self._pool.platform_read() as tx:
            major, version = (await tx.fetch(SQL["version"]))[0].values()
        verified = major in TESTED_POSTGRES
        note = "" if verified else "Tested against PostgreSQL 15 and 18."
        return Identity(adapter=f"PostgreSQL {version}", verified=verified, note=note)

    @override
    async def write(self) -> None:
        self._text = str(self._ids.new())
        async with self._pool.tenant_tx(DOCTOR) as tx:
            await tx.execute(SQL["write"], ROW, self._text)

    @override
    async def read(self) -> None:
        async with self._pool.tenant_read(DOCTOR) as tx:
            self.require(await tx.fetch_value(SQL["read"], ROW) == self._text, "another row")

    @override
    async def delete(self) -> None:
        async with self._pool.tenant_tx(DOCTOR) as tx:
            self.require(await tx.execute(SQL["delete"], ROW) == 1, "the row was gone")


class ClickHouseProbe(StoreProbe):
    """A table of its own that lives for one examination."""

    store = "time series"

    def __init__(self, engine: ClickHouse, url: str | None) -> None:
        self._engine = engine
        self._target = accept_url(Store.CLICKHOUSE, url) if url else None
        self.connects = url is not None

    @override
    async def connect(self) -> None:
        if self._target is not None:
            await reach(self._target.host, self._target.port, self._target)

    @override
    async def authenticate(self) -> Identity:
        rows = await self._engine.select(
            "SELECT toFixedString(version(), 32) AS version", _VERSION
        )
        version = bytes(rows["version"][0]).rstrip(b"\0").decode()
        where = "" if self.connects else ", in the database service"
        verified = version.partition(".")[0] == str(TESTED_CLICKHOUSE)
        note = "" if verified else f"Tested against ClickHouse {TESTED_CLICKHOUSE}."
        return Identity(adapter=f"ClickHouse {version}{where}", verified=verified, note=note)

    @override
    async def write(self) -> None:
        await self._engine.execute(_CLEAR)
        await self._engine.execute(_CREATE)
        block = encode_block([Column("n", "UInt64", np.arange(3, dtype="<u8"))], 3)
        await self._engine.insert(f"{_TABLE} (n)", block, label="doctor")

    @override
    async def read(self) -> None:
        rows: Any = await self._engine.select(_SUM, _NUMBER)
        self.require(int(rows["n"][0]) == sum(range(3)), "other rows")

    @override
    async def delete(self) -> None:
        await self._engine.execute(_DROP)


class CacheProbe(StoreProbe):
    """A value of the platform's own; the connection and the login are new ones."""

    store = "cache"

    def __init__(
        self, access: ValkeyAccess, backend: CacheBackend, clock: Clock, ids: IdFactory
    ) -> None:
        self._access = access
        self._keys = Cache(SERVICE, backend, clock, ids).platform
        self._ids = ids
        self._text = b""

    @override
    async def connect(self) -> None:
        if self._access.socket is not None:
            await reach(str(self._access.socket), 0)
            return
        target = accept_url(Store.CACHE, self._access.url or "")
        await reach(target.host, target.port, target)

    @override
    async def authenticate(self) -> Identity:
        client = ValkeyClient(self._access)
        try:
            await client.start()
            flat = await client.call("HELLO")
        finally:
            await client.stop()
        return identity_of_cache(
            {_text(name): _text(value) for name, value in zip(flat[::2], flat[1::2], strict=True)}
        )

    @override
    async def write(self) -> None:
        self._text = self._ids.new().bytes
        await self._keys.put("doctor", self._text, life_s=PROBE_LIFE_S)

    @override
    async def read(self) -> None:
        self.require(await self._keys.get("doctor") == self._text, "another value")

    @override
    async def delete(self) -> None:
        self.require(await self._keys.delete("doctor"), "the value was gone")
        self.require(await self._keys.get("doctor") is None, "the value is still there")


class InProcessCacheProbe(CacheProbe):
    """The cache in this process: nobody to reach, nobody to log in to."""

    connects = False

    @override
    async def connect(self) -> None:
        """There is no connection."""

    @override
    async def authenticate(self) -> Identity:
        return Identity(adapter="in the database service", verified=True)


def identity_of_cache(hello: dict[str, str]) -> Identity:
    """Who says HELLO so; Dragonfly adds its own version to the one it is compatible with."""
    version = hello.get("version", "?")
    if dragonfly := hello.get("dragonfly_version"):
        note = "UNVERIFIED: no Dragonfly could be run; only commands it documents are used."
        return Identity(adapter=f"Dragonfly {dragonfly}", verified=False, note=note)
    server = hello.get("server", "unknown")
    name = "valkey" if "valkey_version" in hello else server
    version = hello.get("valkey_version", version)
    verified = version.startswith(TESTED_CACHE.get(name, "none"))
    note = "" if verified else "Tested against Valkey 9 and Redis 7."
    return Identity(adapter=f"{name.capitalize()} {version}", verified=verified, note=note)


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
