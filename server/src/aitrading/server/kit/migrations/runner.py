"""Applies migrations to PostgreSQL: one at a time, once, by one process."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg

from aitrading.core.kit.clock import NS_PER_MS, Clock
from aitrading.server.kit.bundle import PostgresAccess
from aitrading.server.kit.migrations.errors import (
    MIGRATION_CHANGED,
    MIGRATION_FAILED,
    MIGRATION_LOCKED,
    MIGRATION_STEP_UNKNOWN,
    MIGRATION_UNKNOWN,
)
from aitrading.server.kit.migrations.files import (
    DEFAULT_LOCK_TIMEOUT_MS,
    Migration,
    Phase,
    load_migrations,
)
from aitrading.server.kit.postgres_cluster import PostgresCluster
from aitrading.server.kit.postgres_mapping import mapped_errors, sqlstate_of
from aitrading.server.kit.postgres_tls import ssl_of

Step = Callable[[Any], Awaitable[None]]
"""Changes rows in ways that SQL cannot, with the connection of the migration's transaction."""
OWNER_ROLE: Final = "aitrading_owner"
TURN_TIMEOUT_MS: Final = 30_000
"""How long a start waits while another process migrates."""
CONNECT_TIMEOUT_S: Final = 5.0
_LOCK_KEY: Final = 0x6169_7472_6164_6531
_ALL: Final = (Phase.PRE, Phase.POST)

_LEDGER_SQL: Final = """
CREATE SCHEMA IF NOT EXISTS migrations;
CREATE TABLE IF NOT EXISTS migrations.applied (
    number     integer     NOT NULL,
    phase      text        NOT NULL CHECK (phase IN ('pre', 'post')),
    name       text        NOT NULL,
    checksum   text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    took_ms    integer     NOT NULL,
    release    text        NOT NULL,
    PRIMARY KEY (number, phase)
)
"""
_READ_LEDGER_SQL: Final = """
SELECT number, phase, name, checksum FROM migrations.applied ORDER BY applied_at, number
"""
_RECORD_SQL: Final = """
INSERT INTO migrations.applied (number, phase, name, checksum, took_ms, release)
VALUES ($1, $2, $3, $4, $5, $6)
"""
_TABLES_SQL: Final = "SELECT oid FROM pg_class WHERE relkind IN ('r', 'p')"
_LOCKED_SQL: Final = """
SELECT c.oid::regclass::text AS name
  FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
 WHERE l.pid = pg_backend_pid() AND l.granted AND c.oid = ANY ($1::oid[])
   AND c.relnamespace <> 'pg_catalog'::regnamespace
   AND l.mode IN ('AccessExclusiveLock', 'ExclusiveLock', 'ShareRowExclusiveLock', 'ShareLock')
 GROUP BY c.oid ORDER BY 1
"""


@dataclass(frozen=True, kw_only=True)
class MigrationStatus:
    """One migration and whether it is applied."""

    file: str
    applied: bool


@dataclass(frozen=True, kw_only=True)
class Rehearsed:
    """One pending migration; outside of a transaction it is not run, and nothing is known."""

    file: str
    took_ms: int | None
    locked: tuple[str, ...]
    """Tables of before that nobody else could write to, from some moment of `took_ms` on."""


class MigrationRunner:
    """Brings one database to the state of one folder."""

    def __init__(
        self,
        access: PostgresAccess,
        folder: Path,
        *,
        clock: Clock,
        release: str,
        steps: Mapping[str, Step] | None = None,
    ) -> None:
        self._access = access
        self._steps = steps or {}
        self._migrations = load_migrations(folder)
        self._clock = clock
        self._release = release

    async def status(self) -> list[MigrationStatus]:
        """Every migration of the folder, in order; changes nothing."""
        async with self._session() as session:
            applied = await self._applied(session)
        return [
            MigrationStatus(file=migration.file, applied=migration.key in applied)
            for migration in self._migrations
        ]

    async def rehearse(self) -> list[Rehearsed]:
        """Run what is pending and undo it (dry run): what would happen, file by file.

        Files outside a transaction are listed but not run. Raises what `apply` would raise.
        """
        async with self._session() as session:
            await self._take_turn(session)
            pending = self._pending(await self._applied(session), _ALL)
            await session.execute("BEGIN")
            try:
                old = [row["oid"] for row in await session.fetch(_TABLES_SQL)]
                return [await self._rehearse_one(session, each, old) for each in pending]
            finally:
                await session.execute("ROLLBACK")

    async def _rehearse_one(self, session: Any, migration: Migration, old: list[int]) -> Rehearsed:
        if not migration.transactional:
            return Rehearsed(file=migration.file, took_ms=None, locked=())
        before = {row["name"] for row in await session.fetch(_LOCKED_SQL, old)}
        began_ns = self._clock.monotonic_ns()
        await self._run(session, migration)
        took_ms = (self._clock.monotonic_ns() - began_ns) // NS_PER_MS
        after = [row["name"] for row in await session.fetch(_LOCKED_SQL, old)]
        return Rehearsed(
            file=migration.file,
            took_ms=took_ms,
            locked=tuple(name for name in after if name not in before),
        )

    async def apply(self, phases: Collection[Phase] = _ALL) -> list[str]:
        """Apply what is pending and give the names of the files.

        Raises `MIGRATION_CHANGED`, `MIGRATION_UNKNOWN`, `MIGRATION_LOCKED` or
        `MIGRATION_FAILED`; files applied before the failing one stay applied.
        """
        async with self._session() as session:
            await self._take_turn(session)
            with mapped_errors():
                await session.execute(_LEDGER_SQL)
            pending = self._pending(await self._applied(session), phases)
            for migration in pending:
                await self._apply_one(session, migration)
        return [migration.file for migration in pending]

    @asynccontextmanager
    async def _session(self) -> AsyncGenerator[Any]:
        access = self._access
        with mapped_errors():
            connection: Any = await PostgresCluster(access).connect_primary(
                database=access.database,
                user=access.user,
                password=access.password,
                ssl=ssl_of(access),
                timeout=CONNECT_TIMEOUT_S,
                server_settings={
                    "application_name": "aitrading-migrations",
                    "search_path": "pg_catalog",
                },
            )
        try:
            with mapped_errors():
                await connection.execute(f"SET ROLE {OWNER_ROLE}")
            yield connection
        finally:
            await connection.close()

    async def _take_turn(self, session: Any) -> None:
        """Wait until no other process migrates; the session's end gives the turn back."""
        try:
            await session.execute(f"SET lock_timeout = {TURN_TIMEOUT_MS}")
            await session.execute(f"SELECT pg_advisory_lock({_LOCK_KEY})")
        except asyncpg.LockNotAvailableError as exc:
            raise MIGRATION_LOCKED.error(
                what="The right to migrate", waited_ms=TURN_TIMEOUT_MS
            ) from exc

    async def _applied(self, session: Any) -> set[tuple[bool, int]]:
        """Keys of what is applied, after checking that it is what the folder holds."""
        with mapped_errors():
            if await session.fetchval("SELECT to_regclass('migrations.applied') IS NULL"):
                return set()
            rows = await session.fetch(_READ_LEDGER_SQL)
        known = {migration.key: migration for migration in self._migrations}
        keys: set[tuple[bool, int]] = set()
        for row in rows:
            key = (row["phase"] == Phase.POST, row["number"])
            migration = known.get(key)
            if migration is None:
                raise MIGRATION_UNKNOWN.error(name=f"{row['number']:04d}_{row['name']}")
            if migration.checksum != row["checksum"]:
                raise MIGRATION_CHANGED.error(file=migration.file)
            keys.add(key)
        return keys

    def _pending(
        self, applied: set[tuple[bool, int]], phases: Collection[Phase]
    ) -> list[Migration]:
        return [
            migration
            for migration in self._migrations
            if migration.phase in phases and migration.key not in applied
        ]

    async def _apply_one(self, session: Any, migration: Migration) -> None:
        if not migration.transactional:
            await self._run_and_record(session, migration)
            return
        await session.execute("BEGIN")
        try:
            await self._run_and_record(session, migration)
        except BaseException:
            if not session.is_closed():
                await session.execute("ROLLBACK")
            raise
        with mapped_errors():
            await session.execute("COMMIT")

    async def _run_and_record(self, session: Any, migration: Migration) -> None:
        began_ns = self._clock.monotonic_ns()
        await self._run(session, migration)
        took_ms = (self._clock.monotonic_ns() - began_ns) // NS_PER_MS
        with mapped_errors():
            await session.execute(
                _RECORD_SQL,
                migration.number,
                migration.phase.value,
                migration.name,
                migration.checksum,
                took_ms,
                self._release,
            )

    async def _run(self, session: Any, migration: Migration) -> None:
        step = self._step(migration)
        try:
            await session.execute(f"SET lock_timeout = {migration.lock_timeout_ms}")
            await session.execute(migration.sql)
            if step is not None:
                await step(session)
            await session.execute(f"SET lock_timeout = {DEFAULT_LOCK_TIMEOUT_MS}")
        except asyncpg.LockNotAvailableError as exc:
            raise MIGRATION_LOCKED.error(
                what=f"A table that {migration.file} changes", waited_ms=migration.lock_timeout_ms
            ) from exc
        except asyncpg.PostgresError as exc:
            raise MIGRATION_FAILED.error(
                file=migration.file, reason=str(exc)[:300], sqlstate=sqlstate_of(exc)
            ) from exc

    def _step(self, migration: Migration) -> Step | None:
        if migration.step is None:
            return None
        if migration.step not in self._steps:
            raise MIGRATION_STEP_UNKNOWN.error(file=migration.file, step=migration.step)
        return self._steps[migration.step]
