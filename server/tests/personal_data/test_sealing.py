"""Rows of a release that kept names in the clear, on the way to this one."""

import asyncio
import itertools
from pathlib import Path
from uuid import UUID

import pytest

from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import TenantId
from aitrading.core.security.field_encryption import SealedField
from aitrading.core.testing.async_test import async_test
from aitrading.server.database_service.postgres_schema import migrations
from aitrading.server.engines.shared import PostgresServer
from aitrading.server.kit.migrations import MigrationRunner, Phase
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.personal_data.catalogue import (
    ACCOUNT_LOGIN,
    ACCOUNT_NAME,
    CATALOGUE,
    DEVICE_NAME,
    USER_DISPLAY_NAME,
    USER_NAME,
)
from aitrading.server.personal_data.keys import FieldKeys
from aitrading.server.testing.personal_data import MASTERS, runner_for

pytestmark = pytest.mark.integration
SEALING = 11
_ids = itertools.count(1)
TENANTS = [TenantId(UUID(int=0xA)), TenantId(UUID(int=0xB))]
OLD_RELEASE = """
INSERT INTO identity.users (tenant_id, id, name, display_name, role, password_hash, created_at)
VALUES ('{tenant}', '{row}', 'n{n}', 'Shown {n}', 'owner', 'x', now());
INSERT INTO identity.devices (tenant_id, id, name, created_at)
VALUES ('{tenant}', '{row}', 'Laptop {n}', now());
INSERT INTO identity.accounts (tenant_id, id, name, broker_server, login, currency, margin_mode,
                               simulated, created_at)
VALUES ('{tenant}', '{row}', 'Account {n}', 'Broker', '0050{n}', 'USD', 'hedging', true, now());
"""
TABLES = {
    "users": "identity.users",
    "devices": "identity.devices",
    "accounts": "identity.accounts",
}


class Database:
    """A database as the release before left it."""

    def __init__(self, server: PostgresServer, folder: Path) -> None:
        self.server = server
        self.name = server.empty_database()
        for file in migrations("postgres").glob("*.sql"):
            if int(file.name[:4]) < SEALING:
                (folder / file.name).write_bytes(file.read_bytes())
        self.old = MigrationRunner(self.access, folder, clock=SystemClock(), release="old")

    @property
    def access(self):  # noqa: ANN201 - as the server gives it
        return self.server.access("migrator", self.name)

    async def sql(self, text: str) -> list:  # type: ignore[type-arg]
        return await asyncio.to_thread(self.server.as_superuser, text, self.name)

    async def old_release_writes(self, tenant: TenantId, number: int) -> UUID:
        row = UUID(int=next(_ids))
        await self.sql(OLD_RELEASE.format(tenant=tenant, row=row, n=number))
        return row

    async def opened(self, tenant: TenantId, row: UUID, field: SealedField) -> str:
        found = await self.sql(
            f"SELECT {field.column}_sealed AS v FROM {field.table} WHERE id = '{row}'"  # noqa: S608
        )
        pool = PostgresPool(self.server.access("identity", self.name), application="test")
        await pool.start()
        try:
            async with pool.tenant_tx(tenant) as tx:
                fields = await FieldKeys(lambda: MASTERS).of(tx)
        finally:
            await pool.stop()
        return fields.open(field, row, found[0]["v"])


@pytest.fixture
def database(postgres_server: PostgresServer, tmp_path: Path) -> Database:
    return Database(postgres_server, tmp_path)


async def prepared(database: Database) -> list[UUID]:
    await database.old.apply()
    for number, tenant in enumerate(TENANTS):
        await database.sql(
            f"INSERT INTO identity.tenants VALUES ('{tenant}', 'firm-{number}', 'active', now());"  # noqa: S608
        )
    return [await database.old_release_writes(tenant, n) for n, tenant in enumerate(TENANTS)]


@async_test
async def test_what_lay_in_the_clear_is_sealed_and_found(database: Database) -> None:
    rows = await prepared(database)
    await runner_for(database.access).apply([Phase.PRE])
    late = await database.old_release_writes(TENANTS[0], 7)  # it still runs while we start
    await runner_for(database.access).apply()
    for tenant, row, number in (
        (TENANTS[0], rows[0], 0),
        (TENANTS[1], rows[1], 1),
        (TENANTS[0], late, 7),
    ):
        for field, value in (
            (USER_NAME, f"n{number}"),
            (USER_DISPLAY_NAME, f"Shown {number}"),
            (DEVICE_NAME, f"Laptop {number}"),
            (ACCOUNT_NAME, f"Account {number}"),
            (ACCOUNT_LOGIN, f"50{number}"),
        ):
            assert await database.opened(tenant, row, field) == value
    columns = await database.sql(
        "SELECT table_schema || '.' || table_name || '.' || column_name AS name"
        " FROM information_schema.columns WHERE table_schema IN ('identity', 'market')"
    )
    left = {row["name"] for row in columns}
    assert not left & {f"{field.table}.{field.column}" for field in CATALOGUE}
    assert "market.streams.login" not in left


@async_test
async def test_a_failing_row_leaves_everything_as_it_was(database: Database) -> None:
    await prepared(database)
    await database.sql("ALTER TABLE identity.users ALTER COLUMN display_name DROP NOT NULL;")
    await database.sql("UPDATE identity.users SET display_name = NULL WHERE name = 'n1'")
    with pytest.raises(AttributeError):
        await runner_for(database.access).apply()
    found = await database.sql("SELECT name FROM identity.users ORDER BY name")
    assert [row["name"] for row in found] == ["n0", "n1"]
    assert (await database.sql("SELECT to_regclass('app.tenant_keys') AS t"))[0]["t"] is None


@async_test
async def test_a_rehearsal_seals_nothing(database: Database) -> None:
    await prepared(database)
    rehearsed = await runner_for(database.access).rehearse()
    assert "0011_personal_data_sealed.sql" in [each.file for each in rehearsed]
    assert len(await database.sql("SELECT name FROM identity.users WHERE name IS NOT NULL")) == 2


@async_test
async def test_a_program_without_the_step_changes_nothing(database: Database) -> None:
    await prepared(database)
    runner = MigrationRunner(
        database.access, migrations("postgres"), clock=SystemClock(), release="test"
    )
    with pytest.raises(AitradingError) as refused:
        await runner.apply()
    assert refused.value.code == "MIGRATION_STEP_UNKNOWN"
    assert (await database.sql("SELECT to_regclass('app.tenant_keys') AS t"))[0]["t"] is None
