"""A primary that dies and a replica that is promoted: the same pool goes on, and nothing lies."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count
from math import inf
from pathlib import Path
from uuid import UUID, uuid5

import pytest

from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.resilience import ResilienceRegistry
from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import SystemIdFactory, TenantId
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.server.kit.bundle import PostgresAccess
from aitrading.server.kit.pool_reports import PoolReports
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.replay import Replay
from aitrading.server.testing.engines import ThrowawayAuthority
from aitrading.server.testing.personal_data import runner_for
from aitrading.server.testing.postgres_cluster import RunningCluster, running_cluster

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]
SPACE = UUID(int=31)
TENANT = TenantId(uuid5(SPACE, "tenant"))
OTHER = TenantId(uuid5(SPACE, "other"))
INSERT = """
INSERT INTO market.streams (id, device_id, broker, symbol, epoch, digits)
VALUES ($1, $1, 'Demo', 'EURUSD', 1, 5)
"""
HERE = "SELECT count(*) FROM market.streams WHERE id = ANY ($1)"


@asynccontextmanager
async def migrated_cluster(folder: Path) -> AsyncIterator[RunningCluster]:
    async with running_cluster(folder) as cluster:
        await runner_for(cluster.access("migrator")).apply()
        yield cluster


def pool_of(cluster: RunningCluster) -> AbstractAsyncContextManager[PostgresPool]:
    return pool_on(cluster.access("database"))


@asynccontextmanager
async def pool_on(
    access: PostgresAccess, reports: PoolReports | None = None
) -> AsyncIterator[PostgresPool]:
    pool = PostgresPool(access, application="test-failover", reports=reports)
    await pool.start()
    try:
        yield pool
    finally:
        await pool.stop()


def replay_of(pool: PostgresPool) -> Replay:
    errors = ErrorHandler(
        clock=SystemClock(),
        randomness=SystemRandomness(),
        metrics=Metrics(),
        resilience=ResilienceRegistry(),
    )
    return Replay(pool, errors, SystemIdFactory(SystemClock(), SystemRandomness()))


class Outcomes:
    """What a writer was told of each row."""

    def __init__(self) -> None:
        self.acknowledged: list[UUID] = []
        self.unknown: list[UUID] = []
        self.refused: list[UUID] = []
        self._numbers = count(1)

    async def write_for_ever(self, replay: Replay) -> None:
        while True:
            row = uuid5(SPACE, f"row {next(self._numbers)}")
            try:
                await replay.run(TENANT, lambda tx, row=row: tx.execute(INSERT, row))
            except AitradingError as exc:
                unknown = exc.code == "DATABASE_COMMIT_UNKNOWN"
                (self.unknown if unknown else self.refused).append(row)
            else:
                self.acknowledged.append(row)


@async_test
async def test_after_a_promotion_the_pool_goes_on_and_no_acknowledged_row_is_lost(
    tmp_path: Path,
) -> None:
    async with migrated_cluster(tmp_path) as cluster, pool_of(cluster) as pool:
        replay, told = replay_of(pool), Outcomes()
        first = cluster.nodes[0]
        async with asyncio.TaskGroup() as group:
            writers = [group.create_task(told.write_for_ever(replay)) for _ in range(4)]
            await eventually(lambda: len(told.acknowledged) > 50, what="rows before the fault")
            await first.kill()
            before = len(told.acknowledged)
            second = await cluster.promote_newest()
            await eventually(
                lambda: len(told.acknowledged) > before + 50, what="rows after it", timeout_s=60
            )
            for writer in writers:
                writer.cancel()
        async with pool.tenant_tx(TENANT) as tx:
            assert await tx.fetch_value(HERE, told.acknowledged) == len(told.acknowledged)
            assert await tx.fetch_value(HERE, told.refused) == 0
        assert len(told.unknown) <= 4, "only what was being committed at that moment"
        assert pool.statistics().primary_switches == 1
        await first.start()
        for _ in range(8):
            async with pool.tenant_tx(TENANT) as tx:
                assert await tx.fetch_value("SELECT pg_is_in_recovery()") is False
                assert await tx.fetch_value(HERE, told.acknowledged[-1:]) == 1
        await second.kill()
        await eventually(lambda: refusal_of(pool), what="the refusal of an outdated primary")


async def refusal_of(pool: PostgresPool) -> bool:
    """Whether only the old primary is left, and is refused; a process may outlive its server a little."""
    try:
        async with pool.tenant_tx(TENANT):
            return False
    except AitradingError as exc:
        return exc.code == "DATABASE_PRIMARY_OUTDATED"


@async_test
async def test_over_tls_a_promoted_server_with_a_foreign_certificate_is_not_trusted(
    tmp_path: Path,
) -> None:
    own, foreign = (ThrowawayAuthority(tmp_path / name).issue("db") for name in ("own", "foreign"))
    async with migrated_cluster(tmp_path) as cluster, cluster.over_tls(own) as fronts:
        access = cluster.access_over_tls("database", fronts, own.ca)
        async with pool_on(access) as pool:
            replay, told = replay_of(pool), Outcomes()
            async with asyncio.TaskGroup() as group:
                writers = [group.create_task(told.write_for_ever(replay)) for _ in range(2)]
                await eventually(lambda: len(told.acknowledged) > 20, what="rows over TLS")
                for front in fronts[1:]:
                    front.show(foreign)
                await cluster.nodes[0].kill()
                new = await cluster.promote_newest()
                await eventually(
                    lambda: refused_with(pool, "DATABASE_SERVER_UNTRUSTED"), what="the refusal"
                )
                before = len(told.acknowledged)
                fronts[cluster.nodes.index(new)].show(own)
                await eventually(
                    lambda: len(told.acknowledged) > before + 20, what="rows", timeout_s=60
                )
                for writer in writers:
                    writer.cancel()
            async with pool.tenant_tx(TENANT) as tx:
                assert await tx.fetch_value(HERE, told.acknowledged) == len(told.acknowledged)
                assert await tx.fetch_value(HERE, told.refused) == 0
        assert {version for front in fronts for version in front.spoken} == {"TLSv1.3"}


async def refused_with(pool: PostgresPool, code: str) -> bool:
    """Whether the pool has no connection left and refuses to make one for this reason."""
    try:
        async with pool.platform_tx():
            pass
    except AitradingError as exc:
        return exc.code == code
    return False


async def reader_of(pool: PostgresPool, row: UUID, max_staleness_s: float) -> str:
    """Who answered a question for a row, and whether it was there."""
    async with pool.read_tx(TENANT, max_staleness_s=max_staleness_s) as tx:
        standby = await tx.fetch_value("SELECT pg_is_in_recovery()")
        seen = await tx.fetch_value(HERE, [row])
    return f"{'replica' if standby else 'primary'} sees {seen}"


async def all_of(cluster: RunningCluster, sql: str) -> None:
    for node in cluster.nodes[1:]:
        await node.ask(sql)


@async_test
async def test_a_replica_answers_where_it_proves_to_be_fresh_enough(tmp_path: Path) -> None:
    async with migrated_cluster(tmp_path) as cluster, pool_of(cluster) as pool:

        async def change_there() -> None:
            async with pool.read_tx(TENANT, max_staleness_s=inf) as tx:
                await tx.execute(INSERT, uuid5(SPACE, "never"))

        async def write(name: str) -> UUID:
            row = uuid5(SPACE, name)
            async with pool.tenant_tx(TENANT) as tx:
                await tx.execute(INSERT, row)
            return row

        async def told(row: UUID, age_s: float, wanted: str) -> bool:
            return await reader_of(pool, row, age_s) == wanted

        old = await write("old")
        await eventually(lambda: told(old, 0, "replica sees 1"), what="a replica with the row")
        async with pool.read_tx(OTHER, max_staleness_s=inf) as tx:
            assert await tx.fetch_value(HERE, [old]) == 0, "row security holds there, too"
        with pytest.raises(AitradingError) as caught:
            await change_there()
        assert caught.value.code == "DATABASE_READ_ONLY"
        await all_of(cluster, "SELECT pg_wal_replay_pause()")
        new = await write("new")
        assert await reader_of(pool, new, 0) == "primary sees 1", "both replicas are behind"
        assert await reader_of(pool, new, inf) == "replica sees 0", "as the caller permits"
        await all_of(cluster, "SELECT pg_wal_replay_resume()")

        async def have_caught_up() -> bool:
            """Both of them: either may be asked when the primary is gone."""
            return all([await told(new, inf, "replica sees 1") for _ in range(20)])

        await eventually(have_caught_up, what="replicas that caught up")
        await eventually(lambda: told(new, 0, "replica sees 1"), what="replicas that prove it")
        await cluster.nodes[0].kill()
        assert await reader_of(pool, new, inf) == "replica sees 1", "history stays readable"
        with pytest.raises(AitradingError):
            await reader_of(pool, new, 0)
        assert pool.statistics().read_from_replicas >= 5
