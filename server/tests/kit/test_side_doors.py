"""Ways around a query: statistics, copies and dumps tell a service's role nothing of others."""

import io
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast
from uuid import UUID, uuid5

import asyncpg
import pytest

from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import TenantId
from aitrading.core.testing.async_test import async_test
from aitrading.server.engines.binaries import postgres_binary
from aitrading.server.engines.shared import PostgresServer
from aitrading.server.kit.postgres import PostgresPool

pytestmark = pytest.mark.integration
SPACE = UUID(int=0x51DE)
ALPHA = TenantId(uuid5(SPACE, "alpha"))
BETA = TenantId(uuid5(SPACE, "beta"))
OF_ALPHA, OF_BETA = "Broker of alpha alone", "Broker of beta alone"
ROWS_OF_BETA = 20
ROLES = pytest.mark.parametrize("role", ["database", "identity", "trading"])
FILL = """
INSERT INTO market.streams (tenant_id, id, device_id, broker, symbol, epoch, digits)
SELECT '{tenant}'::uuid, gen_random_uuid(), gen_random_uuid(), '{broker}', 'EURUSD', 1, 5
  FROM generate_series(1, {rows})
"""
LOOKS = {
    "statistics": "SELECT s::text FROM pg_stats AS s WHERE tablename = 'streams'",
    "statistics of expressions": "SELECT s::text FROM pg_stats_ext_exprs AS s",
    "extended statistics": "SELECT s::text FROM pg_stats_ext AS s",
    "the catalogue under them": "SELECT s::text FROM pg_statistic AS s",
    "the data under those": "SELECT s::text FROM pg_statistic_ext_data AS s",
    "large objects": "SELECT s::text FROM pg_largeobject AS s",
    "what others ask just now": "SELECT query FROM pg_stat_activity WHERE usename <> current_user",
    "pages of the table": "SELECT pg_read_binary_file(pg_relation_filepath('market.streams'))",
    "a sample": "SELECT broker FROM market.streams TABLESAMPLE SYSTEM (100)",
    "rows under an old name": "SELECT s::text FROM market.streams AS s",
}


@pytest.fixture(scope="module")
def known(postgres: PostgresServer) -> PostgresServer:
    """Rows of two organisations of which the planner knows every value."""
    for tenant, broker, rows in ((ALPHA, OF_ALPHA, 200), (BETA, OF_BETA, ROWS_OF_BETA)):
        postgres.as_superuser(FILL.format(tenant=tenant, broker=broker, rows=rows))
    postgres.as_superuser("ANALYZE market.streams")
    (values,) = postgres.as_superuser(
        "SELECT most_common_vals::text AS told FROM pg_stats WHERE schemaname = 'market'"
        " AND tablename = 'streams' AND attname = 'broker'"
    )
    assert OF_ALPHA in values["told"], "there is something to tell"
    return postgres


@asynccontextmanager
async def session(postgres: PostgresServer, role: str, tenant: str = "") -> AsyncIterator[Any]:
    """A connection of the role without the pool, as somebody with its password would open it."""
    access = postgres.access(role)
    connection: Any = await cast("Any", asyncpg).connect(
        host=access.host,
        port=access.port,
        user=access.user,
        password=access.password,
        database=access.database,
        server_settings={"app.tenant": tenant} if tenant else {},
    )
    try:
        yield connection
    finally:
        await connection.close()


@ROLES
@async_test
async def test_what_the_planner_knows_is_told_to_nobody(role: str, known: PostgresServer) -> None:
    """Looking past the tables as a member of one organisation: nothing of others, or a refusal."""
    pool = PostgresPool(known.access(role), application="test-side-doors")
    await pool.start()
    looked = 0
    try:
        for what, sql in LOOKS.items():
            try:
                async with pool.tenant_tx(BETA) as tx:
                    seen = str(await tx.fetch(sql))
            except AitradingError as exc:
                assert exc.code == "DATABASE_NOT_PERMITTED", what  # noqa: PT017 - either is right
            else:
                looked += 1
                assert OF_ALPHA not in seen, what
    finally:
        await pool.stop()
    assert looked


async def copied(connection: Any, of: str) -> str:
    """What COPY … TO STDOUT sends."""
    out = io.BytesIO()
    await connection.copy_from_query(of, output=out)
    return out.getvalue().decode()


@async_test
async def test_a_copy_holds_the_rows_of_its_own_organisation_alone(known: PostgresServer) -> None:
    whole = "SELECT * FROM market.streams"
    for tenant, rows in ((str(BETA), ROWS_OF_BETA), ("", 0)):
        async with session(known, "database", tenant) as connection:
            out = io.BytesIO()
            await connection.copy_from_table("streams", schema_name="market", output=out)
            for text in (out.getvalue().decode(), await copied(connection, whole)):
                assert text.count(OF_BETA) == rows
                assert OF_ALPHA not in text
    async with session(known, "database", str(BETA)) as connection:
        await connection.execute("SET row_security = off")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await copied(connection, whole)


def dumped(
    postgres: PostgresServer, role: str, *words: str, tenant: str = ""
) -> "subprocess.CompletedProcess[str]":
    access = postgres.access(role)
    return subprocess.run(
        [
            *(str(postgres_binary("pg_dump")), "--data-only", "--inserts", "--no-password"),
            *("--host", access.host, "--port", str(access.port), "--username", access.user),
            *("--dbname", access.database, *words),
        ],
        env={
            "PGPASSWORD": access.password,
            "LC_ALL": "C.UTF-8",
            "PGOPTIONS": f"-c app.tenant={tenant}" if tenant else "",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@ROLES
def test_a_dump_of_everything_is_refused(role: str, known: PostgresServer) -> None:
    """A service's role cannot save what it does not see, and does not get a part for the whole."""
    done = dumped(known, role)
    assert done.returncode != 0
    assert OF_ALPHA not in done.stdout
    assert OF_BETA not in done.stdout


def test_a_dump_of_a_table_is_refused_or_holds_its_own_organisation_alone(
    known: PostgresServer,
) -> None:
    table = "--table=market.streams"
    refused = dumped(known, "database", table)
    assert refused.returncode != 0
    assert "row-level security" in refused.stderr
    assert OF_ALPHA not in refused.stdout + refused.stderr
    for tenant, rows in ((str(BETA), ROWS_OF_BETA), ("", 0)):
        done = dumped(known, "database", table, "--enable-row-security", tenant=tenant)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count(OF_BETA) == rows
        assert OF_ALPHA not in done.stdout
