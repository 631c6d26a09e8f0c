"""Two servers believe to be the primary: the one that a promotion left behind gets no row."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from uuid import UUID, uuid5

import msgspec
import pytest

from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import TenantId
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.server.engines.shared import EngineLoop
from aitrading.server.kit import connection_pool, postgres_cluster
from aitrading.server.kit.bundle import PostgresAccess
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.primary_record import PrimaryRecord, Standing
from aitrading.server.testing.personal_data import runner_for
from aitrading.server.testing.postgres_cluster import RunningCluster, running_cluster

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(240),
    pytest.mark.xdist_group("split-brain"),
]
SPACE = UUID(int=33)
TENANT = TenantId(uuid5(SPACE, "tenant"))
INSERT = """
INSERT INTO market.streams (id, device_id, broker, symbol, epoch, digits)
VALUES ($1, $1, 'Demo', 'EURUSD', 1, 5)
"""
TIMELINE = "SELECT timeline_id FROM pg_control_checkpoint()"
CANCEL = (
    "SELECT bool_or(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
)
CLUSTER = "SELECT system_identifier FROM pg_control_system()"


async def split(cluster: RunningCluster) -> None:
    """The second was promoted, the third follows it, and the first is back as a primary."""
    first = cluster.nodes[0]
    await runner_for(cluster.access("migrator")).apply()
    await first.kill()
    second = await cluster.promote_newest()
    (third,) = (node for node in cluster.nodes if node not in (first, second))
    cluster.nodes[:] = first, second, third
    await second.ask("CHECKPOINT")

    async def third_knows() -> bool:
        await third.ask("CHECKPOINT")
        return bool(await third.ask(TIMELINE) == 2)

    await eventually(third_knows, what="the standby of the new primary")
    await first.start()


@pytest.fixture(scope="module")
def brains(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    loop = EngineLoop()
    try:
        manager = running_cluster(tmp_path_factory.mktemp("split"))
        cluster = loop.enter(manager)
        try:
            loop.run(split(cluster))
            yield cluster
        finally:
            loop.leave(manager)
    finally:
        loop.close()


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """Where an installation remembers the newest primary."""
    return tmp_path / "postgres-primary.json"


def access_to(brains: RunningCluster, *nodes: int, record: Path | None = None) -> PostgresAccess:
    """How services log in when only some of the servers can be reached."""
    first, *others = (brains.access("database").servers[node] for node in nodes)
    return msgspec.structs.replace(
        brains.access("database"),
        host=first.host,
        port=first.port,
        others=tuple(others),
        primary_record=record,
    )


@asynccontextmanager
async def pool_on(access: PostgresAccess) -> AsyncIterator[PostgresPool]:
    pool = PostgresPool(access, application="test-split")
    await pool.start()
    try:
        yield pool
    finally:
        await pool.stop()


async def code_of(change: Coroutine[None, None, None]) -> str:
    with pytest.raises(AitradingError) as caught:
        await change
    return caught.value.code


async def refusal_of(access: PostgresAccess) -> AitradingError:
    with pytest.raises(AitradingError) as caught:
        async with pool_on(access):
            pass
    return caught.value


async def port_of(pool: PostgresPool) -> str:
    """Which server answers, by the port in the name of its socket."""
    async with pool.platform_tx() as tx:
        return str(await tx.fetch_value("SELECT current_setting('port')"))


async def cluster_of(access: PostgresAccess) -> int:
    async with pool_on(access) as pool, pool.platform_tx() as tx:
        return int(await tx.fetch_value(CLUSTER))


@async_test
async def test_who_sees_both_takes_the_promoted_one_and_remembers_it(
    brains: RunningCluster, record: Path
) -> None:
    async with pool_on(access_to(brains, 0, 1, 2, record=record)) as pool:
        assert await port_of(pool) == str(brains.nodes[1].port)
    known = PrimaryRecord(record).known()
    assert known is not None
    assert known.timeline == 2


@async_test
async def test_who_starts_later_and_reaches_the_old_one_alone_refuses_it(
    brains: RunningCluster, record: Path
) -> None:
    cluster = await cluster_of(access_to(brains, 0, 1, 2, record=record))
    refused = await refusal_of(access_to(brains, 0, record=record))
    assert refused.code == "DATABASE_PRIMARY_OUTDATED"
    assert refused.fields["newest"] == 2
    assert f"on timeline 1 of cluster {cluster}" in refused.message


@async_test
async def test_a_standby_of_the_new_primary_is_believed_by_who_remembers_nothing(
    brains: RunningCluster, record: Path
) -> None:
    refused = await refusal_of(access_to(brains, 0, 2, record=record))
    assert refused.code == "DATABASE_PRIMARY_OUTDATED"
    assert PrimaryRecord(record).known() is None, "a refused primary is not remembered"


@async_test
async def test_another_cluster_is_refused_until_the_operator_accepts_it(
    brains: RunningCluster, record: Path
) -> None:
    PrimaryRecord(record).note(Standing(cluster=77, timeline=5))
    refused = await refusal_of(access_to(brains, 1, record=record))
    assert refused.code == "DATABASE_CLUSTER_FOREIGN"
    accepted = Standing(cluster=int(str(refused.fields["cluster"])), timeline=2)
    assert PrimaryRecord(record).replace(accepted) == Standing(cluster=77, timeline=5)
    async with pool_on(access_to(brains, 1, record=record)) as pool:
        assert await port_of(pool) == str(brains.nodes[1].port)


@async_test
async def test_a_state_before_the_promotion_counts_when_the_operator_says_so(
    brains: RunningCluster, record: Path
) -> None:
    cluster = await cluster_of(access_to(brains, 1, record=record))
    PrimaryRecord(record).replace(Standing(cluster=cluster, timeline=1))
    async with pool_on(access_to(brains, 0, record=record)) as pool:
        assert await port_of(pool) == str(brains.nodes[0].port)


@async_test
async def test_connections_to_the_old_one_end_when_any_process_meets_the_new_one(
    brains: RunningCluster, record: Path
) -> None:
    async with pool_on(access_to(brains, 0, record=record)) as blind:
        assert await port_of(blind) == str(brains.nodes[0].port), "nobody could know yet"
        await cluster_of(access_to(brains, 1, record=record))

        async def refuses() -> bool:
            try:
                await port_of(blind)
            except AitradingError as exc:
                return exc.code == "DATABASE_PRIMARY_OUTDATED"
            return False

        await eventually(refuses, what="the refusal of the old primary")


@async_test
async def test_a_promotion_beside_a_primary_that_goes_on_is_noticed(
    brains: RunningCluster, record: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is lost and nobody starts: the next connections look at every server again."""
    with ExitStack() as hidden:
        for node in (1, 2):
            hidden.enter_context(unreachable(access_to(brains, node)))
        async with pool_on(access_to(brains, 0, 1, 2, record=record)) as pool:
            assert await port_of(pool) == str(brains.nodes[0].port), "nobody could know yet"
            hidden.close()
            assert await port_of(pool) == str(brains.nodes[0].port)
            monkeypatch.setattr(postgres_cluster, "SURVEY_EVERY_S", 0.0)
            monkeypatch.setattr(connection_pool, "LIFE_S", 0.0)
            pool._cluster._survey_s = 0.0
            await port_of(pool)
            assert await port_of(pool) == str(brains.nodes[1].port)
            assert pool.statistics().primary_switches == 1


@contextmanager
def unreachable(access: PostgresAccess) -> Iterator[None]:
    """The server runs, and its socket is not where it should be."""
    socket = Path(access.host) / f".s.PGSQL.{access.port}"
    away = socket.with_suffix(".away")
    socket.rename(away)
    try:
        yield
    finally:
        away.rename(socket)


@async_test
async def test_a_commit_that_no_standby_has_is_not_called_done(brains: RunningCluster) -> None:
    """PostgreSQL answers COMMIT to a wait that somebody cancelled, and only warns."""

    async def cancelled() -> bool:
        old = brains.nodes[0]
        return bool(await old.ask(CANCEL))

    async def change() -> None:
        async with pool_on(access_to(brains, 0)) as pool, pool.tenant_tx(TENANT) as tx:
            await tx.execute(INSERT, uuid5(SPACE, "alone"))

    async with asyncio.TaskGroup() as group:
        told = group.create_task(code_of(change()))
        await eventually(cancelled, what="a commit that waits for a standby")
    assert told.result() == "DATABASE_COMMIT_UNKNOWN"


@async_test
async def test_a_standby_alone_is_no_primary(brains: RunningCluster, record: Path) -> None:
    refused = await refusal_of(access_to(brains, 2, record=record))
    assert refused.code == "DATABASE_NO_PRIMARY"


@async_test
async def test_processes_that_note_at_once_never_go_back(tmp_path: Path) -> None:
    file = tmp_path / "record.json"

    def note(timeline: int) -> None:
        PrimaryRecord(file).note(Standing(cluster=1, timeline=timeline))

    async with asyncio.TaskGroup() as group:
        for timeline in (3, 1, 8, 2, 5, 8, 4):
            group.create_task(asyncio.to_thread(note, timeline))
    assert PrimaryRecord(file).known() == Standing(cluster=1, timeline=8)


@pytest.mark.parametrize("content", [b"", b"{}", b'{"cluster": 1, "timeline": "one"}'])
def test_a_damaged_record_is_never_taken_for_none(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "record.json"
    file.write_bytes(content)
    with pytest.raises(AitradingError) as caught:
        PrimaryRecord(file).known()
    assert caught.value.code == "PRIMARY_RECORD_UNUSABLE"
    PrimaryRecord(file).replace(Standing(cluster=1, timeline=1))
    assert PrimaryRecord(file).known() == Standing(cluster=1, timeline=1)
