"""The whole schema and the stores in it on Debian's PostgreSQL 15, over TLS 1.3."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import msgspec
import pytest

from aitrading.core.infrastructure.chains import MARKET_DATA_CHAIN
from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import SystemIdFactory, TenantId
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.server.benchmarks import pool as pool_benchmark
from aitrading.server.database_service.chain_graph.port import part_node
from aitrading.server.database_service.chain_graph.postgres import PostgresChainGraph
from aitrading.server.kit.audit_trail import AuditTrail
from aitrading.server.kit.bundle import PostgresAccess, PostgresAddress
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.primary_record import PrimaryRecord
from aitrading.server.kit.row_security import require_row_security
from aitrading.server.supervisor.doctor.finding import Verdict
from aitrading.server.supervisor.doctor.plaintext import check_plaintext
from aitrading.server.supervisor.ports import free_port
from aitrading.server.testing.engines import ThrowawayAuthority
from aitrading.server.testing.postgres15 import Postgres15, postgres15_missing

pytestmark = [
    pytest.mark.integration,
    pytest.mark.servers,
    pytest.mark.xdist_group("postgres-15"),
    pytest.mark.skipif(bool(postgres15_missing()), reason=postgres15_missing()),
]
ALPHA, BETA = TenantId(UUID(int=0xF15A)), TenantId(UUID(int=0xF15B))
CLOCK = SystemClock()
INSERT = """
INSERT INTO market.streams (id, device_id, broker, symbol, epoch, digits)
VALUES ($1, $1, 'Demo', 'EURUSD', 1, 5)
"""
COUNT = "SELECT count(*) FROM market.streams WHERE id = $1"
ENCRYPTED = "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


@asynccontextmanager
async def a_pool(access: PostgresAccess) -> AsyncIterator[PostgresPool]:
    pool = PostgresPool(access, application="test")
    await pool.start()
    try:
        yield pool
    finally:
        await pool.stop()


async def code_of(access: PostgresAccess) -> str:
    try:
        async with a_pool(access) as pool, pool.platform_tx() as tx:
            await tx.fetch("SELECT 1")
    except AitradingError as exc:
        return exc.code
    return "none"


@async_test
async def test_every_migration_holds_and_no_tenant_sees_anothers_rows(
    postgres15: Postgres15,
) -> None:
    async with a_pool(postgres15.access("database")) as pool:
        async with pool.platform_tx() as tx:
            await require_row_security(tx)
            assert await tx.fetch_value(ENCRYPTED) == "TLSv1.3"
        async with pool.tenant_tx(ALPHA) as tx:
            assert await tx.execute(INSERT, ALPHA) == 1
        async with pool.tenant_tx(BETA) as tx:
            assert await tx.fetch_value(COUNT, ALPHA) == 0
        async with pool.tenant_tx(ALPHA) as tx:
            assert await tx.fetch_value(COUNT, ALPHA) == 1


@async_test
async def test_the_graph_is_walked(postgres15: Postgres15) -> None:
    async with a_pool(postgres15.access("database")) as pool:
        trail = AuditTrail(clock=CLOCK, ids=SystemIdFactory(CLOCK, SystemRandomness()))
        graph = PostgresChainGraph(pool, trail)
        await graph.save(MARKET_DATA_CHAIN, "declared")
        assert len(await graph.impact(part_node("client"))) == len(MARKET_DATA_CHAIN.hops)
        assert (await graph.bottlenecks("market-data"))[0].part == "client"


@async_test
async def test_who_cannot_be_trusted_is_not_asked(postgres15: Postgres15, tmp_path: Path) -> None:
    access = postgres15.access("database")
    assert await code_of(access) == "none"
    other = ThrowawayAuthority(tmp_path / "other").issue("x").ca
    changes = ({"tls": False}, {"ca": other}, {"host": "127.0.0.2"}, {"password": "guessed"})
    codes = [await code_of(msgspec.structs.replace(access, **change)) for change in changes]
    assert codes[:2] == ["DATABASE_PLAINTEXT_REFUSED", "DATABASE_SERVER_UNTRUSTED"]
    assert "none" not in codes


@async_test
async def test_the_doctor_knocks_without_tls(postgres15: Postgres15) -> None:
    """Only `hostssl` lines: refused. One `host` line: it would have taken the password."""
    access = postgres15.access("database")

    async def verdict() -> Verdict:
        return (await check_plaintext(access)).verdict

    async def is_now(wanted: Verdict) -> bool:
        return await verdict() is wanted

    assert await verdict() is Verdict.OK
    try:
        postgres15.let_in("host all all 127.0.0.1/32 scram-sha-256\n")
        await eventually(lambda: is_now(Verdict.PROBLEM))
        found = await check_plaintext(access)
        assert f"localhost:{postgres15.port}" in found.finding
        assert "hostssl" in found.remedy
        away = PostgresAddress("localhost", free_port())
        first_away = msgspec.structs.replace(
            access, port=away.port, others=(PostgresAddress("localhost", access.port),)
        )
        assert (await check_plaintext(first_away)).verdict is Verdict.PROBLEM
    finally:
        postgres15.let_in()
    await eventually(lambda: is_now(Verdict.OK))
    nobody = msgspec.structs.replace(access, port=free_port())
    assert (await check_plaintext(nobody)).verdict is Verdict.UNVERIFIED


@async_test
async def test_its_primary_is_remembered_and_an_older_one_refused(
    postgres15: Postgres15, tmp_path: Path
) -> None:
    file = tmp_path / "primary.json"
    access = msgspec.structs.replace(postgres15.access("database"), primary_record=file)
    assert await code_of(access) == "none"
    known = PrimaryRecord(file).known()
    assert known is not None
    assert known.timeline == 1
    PrimaryRecord(file).note(msgspec.structs.replace(known, timeline=2))
    assert await code_of(access) == "DATABASE_PRIMARY_OUTDATED"


@async_test
async def test_a_kept_connection_is_worth_many_new_ones(
    postgres15: Postgres15, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The benchmark, made short: it measures what it says it does."""
    monkeypatch.setattr(pool_benchmark, "ROUNDS", 1)
    figures = await pool_benchmark.measure(postgres15.access("database"), 1)
    assert all(value is not None and value > 0 for value in figures.values())
    assert (figures["pool.ratio"] or 0) > (figures["pool.tenant_ratio"] or 0) > 3
