"""What is run again, what is not, and that nobody is told a guess."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
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
from aitrading.server.engines.shared import PostgresServer
from aitrading.server.kit.idempotency import IdempotentWrites, Write
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.replay import Replay
from aitrading.server.kit.transactions import TenantTransaction
from aitrading.server.testing.commit_cutter import CommitCutter, Cut, cutting

pytestmark = pytest.mark.integration
SPACE = UUID(int=32)
TENANT = TenantId(uuid5(SPACE, "tenant"))
INSERT = """
INSERT INTO market.streams (id, device_id, broker, symbol, epoch, digits)
VALUES ($1, $1, 'Demo', 'EURUSD', 1, $2)
"""
ADD_COUNTER = """
INSERT INTO app.tenant_settings (setting, value, changed_at, changed_by)
VALUES ($1, '0', now(), 'test')
"""
RAISE = "UPDATE app.tenant_settings SET value = to_jsonb(value::int + 1) WHERE setting = $1"
COUNTER = "SELECT value::int FROM app.tenant_settings WHERE setting = $1"
HERE = "SELECT count(*) FROM market.streams WHERE device_id = $1"
NUMBERS = count(1)


def fresh() -> UUID:
    """An id that no other test has."""
    return uuid5(SPACE, f"row {next(NUMBERS)}")


@dataclass
class Change:
    """Adds one stream, and counts how often it was asked to."""

    row: UUID = field(default_factory=fresh)
    runs: int = 0

    async def __call__(self, tx: TenantTransaction) -> str:
        self.runs += 1
        await tx.execute(INSERT, self.row, 1)
        return f"answer {self.runs}"


@dataclass
class Stage:
    """A pool whose line to the server can be cut."""

    pool: PostgresPool
    replay: Replay
    cutter: CommitCutter

    async def count(self, change: Change) -> int:
        async with self.pool.tenant_tx(TENANT) as tx:
            return int(await tx.fetch_value(HERE, change.row))


@asynccontextmanager
async def stage(postgres: PostgresServer) -> AsyncIterator[Stage]:
    errors = ErrorHandler(
        clock=SystemClock(),
        randomness=SystemRandomness(),
        metrics=Metrics(),
        resilience=ResilienceRegistry(),
    )
    async with cutting(postgres.access("database")) as (cutter, access):
        pool = PostgresPool(access, application="test-replay")
        await pool.start()
        try:
            yield Stage(
                pool,
                Replay(pool, errors, SystemIdFactory(SystemClock(), SystemRandomness())),
                cutter,
            )
        finally:
            await pool.stop()


async def code_of(replay: Replay, change: Change, receipt: UUID | None = None) -> str:
    with pytest.raises(AitradingError) as caught:
        await replay.run(TENANT, change, receipt=receipt)
    return caught.value.code


@pytest.mark.parametrize(("cut", "rows"), [(Cut.BEFORE, 0), (Cut.AFTER, 1)])
@async_test
async def test_a_commit_without_answer_is_called_unknown_and_not_repeated(
    cut: Cut, rows: int, postgres: PostgresServer
) -> None:
    async with stage(postgres) as here:
        change = Change()
        here.cutter.cuts = [cut]
        assert await code_of(here.replay, change) == "DATABASE_COMMIT_UNKNOWN"
        assert change.runs == 1
        assert await here.count(change) == rows


@pytest.mark.parametrize(("cut", "runs"), [(Cut.BEFORE, 2), (Cut.AFTER, 1)])
@async_test
async def test_with_a_receipt_the_change_is_made_exactly_once(
    cut: Cut, runs: int, postgres: PostgresServer
) -> None:
    async with stage(postgres) as here:
        change, receipt = Change(), fresh()
        here.cutter.cuts = [cut]
        assert await here.replay.run(TENANT, change, receipt=receipt) == f"answer {runs}"
        assert (change.runs, await here.count(change)) == (runs, 1)
        assert await code_of(here.replay, change, receipt) == "DATABASE_DONE_BEFORE"
        assert (change.runs, await here.count(change)) == (runs, 1)


@pytest.mark.parametrize(("cut", "runs"), [(Cut.BEFORE, 2), (Cut.AFTER, 1)])
@async_test
async def test_a_request_with_a_key_is_made_exactly_once(
    cut: Cut, runs: int, postgres: PostgresServer
) -> None:
    async with stage(postgres) as here:
        writes, change = IdempotentWrites(here.replay), Change()
        by = Write(tenant=TENANT, actor="user:1", key=f"key-{change.row}", request=b"same")
        here.cutter.cuts = [cut]
        answers = {await writes.once(by, change, str) for _ in range(2)}
        assert answers == {f"answer {runs}"}
        assert (change.runs, await here.count(change)) == (runs, 1)


@async_test
async def test_what_stays_unknown_is_never_called_undone(postgres: PostgresServer) -> None:
    """The line breaks at the commit, and whoever asks afterwards meets a server that is away."""
    async with stage(postgres) as here:
        change = Change()
        here.cutter.cuts = [Cut.AFTER] + [Cut.BEFORE] * 20
        assert await code_of(here.replay, change, fresh()) == "DATABASE_COMMIT_UNKNOWN"
        here.cutter.cuts = []
        assert (change.runs, await here.count(change)) == (1, 1)


@async_test
async def test_a_connection_lost_before_the_commit_is_nobodys_problem(
    postgres: PostgresServer,
) -> None:
    async with stage(postgres) as here:
        change = Change()

        async def work(tx: TenantTransaction) -> str:
            answer = await change(tx)
            if change.runs == 1:
                pid = await tx.fetch_value("SELECT pg_backend_pid()")
                await asyncio.to_thread(
                    postgres.as_superuser, f"SELECT pg_terminate_backend({pid})"
                )
                await tx.fetch_value("SELECT 1")
            return answer

        assert await here.replay.run(TENANT, work) == "answer 2"
        assert await here.count(change) == 1


@async_test
async def test_serialisation_failures_and_deadlocks_lose_no_update(
    postgres: PostgresServer,
) -> None:
    async with stage(postgres) as here:
        first, second = "test.first", "test.second"
        async with here.pool.tenant_tx(TENANT) as tx:
            for counter in (first, second):
                await tx.execute(ADD_COUNTER, counter)
        attempts, all_have_read = 0, asyncio.Barrier(4)

        async def raise_both(tx: TenantTransaction, one: str, other: str) -> None:
            nonlocal attempts
            attempts += 1
            is_first = attempts <= all_have_read.parties
            await tx.fetch_value(COUNTER, other)
            if is_first:
                await all_have_read.wait()  # or one is through before another begins
            await tx.execute(RAISE, one)
            await tx.execute(RAISE, other)

        def change(one: str, other: str, *, serializable: bool) -> Coroutine[None, None, None]:
            return here.replay.run(
                TENANT, lambda tx: raise_both(tx, one, other), serializable=serializable
            )

        async with asyncio.TaskGroup() as group:
            for one, other in ((first, second), (second, first)):
                for serializable in (True, False):
                    group.create_task(change(one, other, serializable=serializable))
        async with here.pool.tenant_tx(TENANT) as tx:
            assert [await tx.fetch_value(COUNTER, each) for each in (first, second)] == [4, 4]
        assert attempts > 4, "at least one of them met another"


@async_test
async def test_a_refusal_is_not_repeated(postgres: PostgresServer) -> None:
    async with stage(postgres) as here:
        change = Change()
        await here.replay.run(TENANT, change)
        assert await code_of(here.replay, change) == "DATABASE_ALREADY_EXISTS"
        assert change.runs == 2


@async_test
async def test_old_receipts_go_with_new_changes(postgres: PostgresServer) -> None:
    async with stage(postgres) as here:
        old, new = fresh(), fresh()
        await here.replay.run(TENANT, Change(), receipt=old)
        postgres.as_superuser(
            "UPDATE app.commit_receipts SET taken_at = now() - interval '25 hours'"  # noqa: S608
            f" WHERE id = '{old}'; SELECT 1"
        )
        await here.replay.run(TENANT, Change(), receipt=new)
        left = "SELECT id FROM app.commit_receipts WHERE id = ANY ($1)"
        async with here.pool.tenant_tx(TENANT) as tx:
            assert [row["id"] for row in await tx.fetch(left, [old, new])] == [new]
