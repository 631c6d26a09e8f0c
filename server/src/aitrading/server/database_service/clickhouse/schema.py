"""Brings ClickHouse to the state of `migrations/clickhouse`, in the format of the runner.

ClickHouse has no transactions: every statement is written so that it can be repeated, and a file
counts as applied after its last statement.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from typing_extensions import override

from aitrading.core.infrastructure.lifecycle import Component, ComponentState
from aitrading.server.database_service.clickhouse.port import ClickHouse
from aitrading.server.database_service.clickhouse.walls import Whose
from aitrading.server.kit.migrations import Migration, load_migrations
from aitrading.server.kit.migrations.errors import MIGRATION_CHANGED, MIGRATION_UNKNOWN
from aitrading.server.kit.migrations_api import CLICKHOUSE, StoreMigration

_LEDGER: Final = (
    "CREATE DATABASE IF NOT EXISTS migrations ENGINE = Atomic",
    """
    CREATE TABLE IF NOT EXISTS migrations.applied (
        number UInt32, name String, checksum FixedString(64), applied_at DateTime64(6, 'UTC')
    ) ENGINE = MergeTree ORDER BY number SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
    """,
)
_HAS_LEDGER: Final = """
SELECT count() AS n FROM system.tables WHERE database = 'migrations' AND name = 'applied'
"""
_COUNT_LAYOUT: Final = np.dtype([("n", "<u8")])
_READ: Final = """
SELECT number, checksum, toFixedString(name, 60) AS name FROM migrations.applied ORDER BY number
"""
_READ_LAYOUT: Final = np.dtype([("number", "<u4"), ("checksum", "S64"), ("name", "S60")])
_RECORD: Final = """
INSERT INTO migrations.applied
SELECT {number:UInt32}, {name:String}, {checksum:String}, now64(6)
"""


class ClickHouseSchema(Component):
    """Applies what is pending; raises as the runner for PostgreSQL does."""

    def __init__(
        self,
        clickhouse: ClickHouse,
        folder: Path,
        *,
        depends_on: tuple[str, ...] = (),
        when_applied: Callable[[], None] = lambda: None,
    ) -> None:
        self._clickhouse = clickhouse
        self._folder = folder
        self._when_applied = when_applied
        self._state = ComponentState.NEW
        self.depends_on = depends_on

    @property
    @override
    def name(self) -> str:
        return "clickhouse-schema"

    @property
    @override
    def state(self) -> ComponentState:
        return self._state

    @override
    async def start(self) -> None:
        await self.apply()
        self._when_applied()
        self._state = ComponentState.HEALTHY

    @override
    async def stop(self) -> None:
        self._state = ComponentState.STOPPED

    async def status(self) -> list[StoreMigration]:
        """Every migration of the folder, in order; changes nothing.

        Raises `MIGRATION_CHANGED` for a file that is not as it was applied, and
        `MIGRATION_UNKNOWN` for a schema that a newer release made.
        """
        migrations = load_migrations(self._folder)
        made = await self._clickhouse.select(_HAS_LEDGER, _COUNT_LAYOUT, after_writes=True)
        applied = await self._applied(migrations) if made["n"][0] else set[int]()
        return [
            StoreMigration(
                store=CLICKHOUSE,
                number=each.number,
                file=each.file,
                checksum=each.checksum,
                applied=each.number in applied,
            )
            for each in migrations
        ]

    async def apply(self) -> list[str]:
        """Apply what is pending and give the names of the files."""
        migrations = load_migrations(self._folder)
        for statement in _LEDGER:
            await self._clickhouse.execute(statement)
        applied = await self._applied(migrations)
        pending = [migration for migration in migrations if migration.number not in applied]
        for migration in pending:
            await self._apply_one(migration)
        return [migration.file for migration in pending]

    async def _applied(self, migrations: tuple[Migration, ...]) -> set[int]:
        known = {migration.number: migration for migration in migrations}
        numbers: set[int] = set()
        for row in await self._clickhouse.select(_READ, _READ_LAYOUT):
            number = int(row["number"])
            if number not in known:
                raise MIGRATION_UNKNOWN.error(name=f"{number:04d}_{row['name'].decode()}")
            if known[number].checksum != row["checksum"].decode():
                raise MIGRATION_CHANGED.error(file=known[number].file)
            numbers.add(number)
        return numbers

    async def _apply_one(self, migration: Migration) -> None:
        for statement in migration.sql.split(";\n"):
            if statement.strip():
                await self._clickhouse.execute(statement, of=Whose.EVERYBODY)
        await self._clickhouse.execute(
            _RECORD,
            {
                "number": migration.number,
                "name": migration.name,
                "checksum": migration.checksum,
            },
        )
