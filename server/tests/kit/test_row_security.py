"""The row-security gate finds every planted weakness and nothing in the real schema."""

from collections.abc import Callable

import pytest

from aitrading.core.kit.errors import AitradingError
from aitrading.core.testing.async_test import async_test
from aitrading.server.engines.shared import PostgresServer
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.row_security import require_row_security, row_security_weaknesses

pytestmark = pytest.mark.integration

GOOD = """
CREATE TABLE market.good (tenant_id uuid, id uuid, PRIMARY KEY (tenant_id, id));
SELECT app.guard_tenant_table('market.good');
"""
PLANTED = {
    "row security is off": "ALTER TABLE market.good DISABLE ROW LEVEL SECURITY;",
    "row security is not forced": "ALTER TABLE market.good NO FORCE ROW LEVEL SECURITY;",
    "no policy": "DROP POLICY own_tenant ON market.good;",
    "tenant_id may be null": "ALTER TABLE market.good DROP CONSTRAINT good_pkey;"
    " ALTER TABLE market.good ALTER tenant_id DROP NOT NULL;",
    "policy everybody does not compare": "CREATE POLICY everybody ON market.good USING (true);",
    "policy blind does not compare": "CREATE POLICY blind ON market.good FOR INSERT"
    " WITH CHECK (id IS NOT NULL);",
    "policy wide does not compare": "CREATE POLICY wide ON market.good"
    " USING (tenant_id = app.tenant() OR id IS NULL);",
    "unique index market.good_id without tenant_id": "CREATE UNIQUE INDEX good_id"
    " ON market.good (id);",
    "foreign key good_fk without tenant_id": "CREATE TABLE market.target (tenant_id uuid,"
    " id uuid UNIQUE, PRIMARY KEY (tenant_id, id)); SELECT app.guard_tenant_table('market.target');"
    " ALTER TABLE market.good ADD CONSTRAINT good_fk FOREIGN KEY (id)"
    " REFERENCES market.target (id);",
    "view without security_invoker": "CREATE VIEW market.leak AS SELECT * FROM market.good;",
    "materialised view": "CREATE MATERIALIZED VIEW market.leak AS SELECT * FROM market.good;",
    "SECURITY DEFINER without a fixed search_path": "CREATE FUNCTION market.f() RETURNS int"
    " LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';",
    "role ignores row security": "ALTER ROLE trading BYPASSRLS;",
    "database may TRUNCATE it": 'GRANT TRUNCATE ON market.good TO "database";',
    "trading may point foreign keys": "GRANT REFERENCES ON market.good TO trading;",
    "identity may create objects": "GRANT CREATE ON SCHEMA market TO identity;",
}


async def weaknesses(postgres: PostgresServer, database: str) -> list[str]:
    pool = PostgresPool(postgres.access("database", database), application="gate")
    await pool.start()
    try:
        async with pool.platform_tx() as tx:
            return [str(weakness) for weakness in await row_security_weaknesses(tx)]
    finally:
        await pool.stop()


@async_test
async def test_the_real_schema_has_no_weakness(postgres: PostgresServer) -> None:
    pool = PostgresPool(postgres.access("database"), application="gate")
    await pool.start()
    async with pool.platform_tx() as tx:
        await require_row_security(tx)
    await pool.stop()


@pytest.mark.parametrize("weakness", PLANTED)
def test_every_planted_weakness_is_found(
    weakness: str, postgres: PostgresServer, migrate: Callable[[str], None]
) -> None:
    database = postgres.empty_database()
    migrate(database)
    postgres.as_superuser(GOOD, database)
    found: list[str] = []

    @async_test
    async def look() -> None:
        found.extend(await weaknesses(postgres, database))

    look()
    assert found == []
    try:
        postgres.as_superuser(PLANTED[weakness], database)
        look()
    finally:
        postgres.as_superuser("ALTER ROLE trading NOBYPASSRLS;", database)
    assert any(weakness in line for line in found), found


def test_a_broken_wall_stops_with_every_hole_named(
    postgres: PostgresServer, migrate: Callable[[str], None]
) -> None:
    database = postgres.empty_database()
    migrate(database)
    postgres.as_superuser(GOOD + PLANTED["row security is off"], database)

    @async_test
    async def gate() -> None:
        pool = PostgresPool(postgres.access("database", database), application="gate")
        await pool.start()
        try:
            async with pool.platform_tx() as tx:
                await require_row_security(tx)
        finally:
            await pool.stop()

    with pytest.raises(AitradingError, match=r"market\.good: row security is off") as caught:
        gate()
    assert caught.value.code == "ROW_SECURITY_BROKEN"
