"""The pool: tenants never leak, and every fault of the server arrives as a typed error."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from uuid import UUID, uuid5

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import TenantId
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.server.engines.shared import PostgresServer
from aitrading.server.kit.postgres import PoolLimits, PostgresPool
from aitrading.server.testing.commit_cutter import Cut, cutting

pytestmark = pytest.mark.integration

SPACE = UUID(int=99)
ALPHA = TenantId(uuid5(SPACE, "alpha"))
BETA = TenantId(uuid5(SPACE, "beta"))
INSERT_STREAM = """
INSERT INTO market.streams (id, device_id, broker, symbol, epoch, digits)
VALUES ($1, $1, 'Demo', 'EURUSD', 1, 5)
"""
COUNT = "SELECT count(*) FROM market.streams WHERE id = $1"


@asynccontextmanager
async def pool_of(postgres: PostgresServer, **limits: float) -> AsyncIterator[PostgresPool]:
    pool = PostgresPool(
        postgres.access("database"), application="test-pool", limits=PoolLimits(**limits)
    )
    await pool.start()
    try:
        yield pool
    finally:
        await pool.stop()


async def code_of(scenario: Awaitable[object]) -> str:
    with pytest.raises(AitradingError) as caught:
        await scenario
    return caught.value.code


@async_test
async def test_a_tenant_sees_its_own_rows_only(postgres: PostgresServer) -> None:
    stream = uuid5(SPACE, "own rows")
    async with pool_of(postgres) as pool:
        async with pool.tenant_tx(ALPHA) as tx:
            assert await tx.execute(INSERT_STREAM, stream) == 1
        async with pool.tenant_tx(BETA) as tx:
            assert await tx.fetch_value(COUNT, stream) == 0
        async with pool.tenant_tx(ALPHA) as tx:
            assert await tx.fetch_value(COUNT, stream) == 1
        async with pool.platform_tx() as tx:
            assert await tx.fetch_value(COUNT, stream) == 0
            async with tx.within(ALPHA) as inner:
                assert await inner.fetch_value(COUNT, stream) == 1
            assert await tx.fetch_value(COUNT, stream) == 0


@async_test
async def test_a_row_for_somebody_else_is_refused(postgres: PostgresServer) -> None:
    async def cross() -> None:
        async with pool_of(postgres) as pool, pool.tenant_tx(ALPHA) as tx:
            await tx.execute(
                INSERT_STREAM.replace("(id", "(tenant_id, id").replace("($1", "($2, $1", 1),
                uuid5(SPACE, "forged"),
                BETA,
            )

    assert await code_of(cross()) == "DATABASE_NOT_PERMITTED"


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.sampled_from(["alpha", "beta", "fail", "cancel", "platform", "set"])))
def test_no_order_of_use_leaks_a_tenant(steps: list[str], postgres: PostgresServer) -> None:
    """One connection, used by turns: committed, failed, cancelled and mis-set transactions."""

    @async_test
    async def scenario() -> None:
        async with pool_of(postgres, max_connections=1) as pool:
            for step in steps:
                await use(pool, step)
            async with pool.platform_tx() as tx:
                assert await tx.fetch_value("SELECT app.tenant()") is None
            async with pool.tenant_tx(BETA) as tx:
                assert await tx.fetch_value("SELECT app.tenant()") == BETA

    scenario()


async def use(pool: PostgresPool, step: str) -> None:
    if step == "platform":
        async with pool.platform_tx() as tx, tx.within(ALPHA):
            pass
    elif step == "fail":
        with pytest.raises(AitradingError):
            async with pool.tenant_tx(ALPHA) as tx:
                await tx.execute("SELECT 1/0")
    elif step == "set":
        async with pool.tenant_tx(ALPHA) as tx:
            await tx.execute("SELECT set_config('app.tenant', $1, false)", str(ALPHA))
    elif step == "cancel":
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01), pool.tenant_tx(ALPHA) as tx:
                await tx.execute("SELECT pg_sleep(5)")
    else:
        async with pool.tenant_tx(ALPHA if step == "alpha" else BETA) as tx:
            await tx.fetch_value("SELECT 1")


@pytest.mark.parametrize("tenant", ["'; RESET ROLE; --", None, str(ALPHA), b"x" * 16])
@async_test
async def test_only_a_uuid_is_a_tenant(tenant: object, postgres: PostgresServer) -> None:
    async with pool_of(postgres) as pool:
        with pytest.raises(TypeError):
            async with pool.tenant_tx(tenant):
                pass


@async_test
async def test_a_transaction_ends_with_its_block(postgres: PostgresServer) -> None:
    async with pool_of(postgres) as pool:
        async with pool.tenant_tx(ALPHA) as tx:
            pass
        assert await code_of(tx.fetch("SELECT 1")) == "DATABASE_CLOSED"
    assert await code_of(enter(pool.tenant_tx(ALPHA))) == "DATABASE_CLOSED"


async def enter(manager: AbstractAsyncContextManager[object]) -> None:
    async with manager:
        pass


@async_test
async def test_a_failing_body_rolls_back(postgres: PostgresServer) -> None:
    stream = uuid5(SPACE, "rolled back")
    async with pool_of(postgres) as pool:

        async def stumble() -> None:
            async with pool.tenant_tx(ALPHA) as tx:
                await tx.execute(INSERT_STREAM, stream)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await stumble()
        async with pool.tenant_tx(ALPHA) as tx:
            assert await tx.fetch_value(COUNT, stream) == 0
        assert pool.statistics().rolled_back == 1


@async_test
async def test_an_ignored_failure_cannot_pass_for_a_commit(postgres: PostgresServer) -> None:
    async def careless() -> None:
        async with pool_of(postgres) as pool, pool.tenant_tx(ALPHA) as tx:
            with pytest.raises(AitradingError):
                await tx.execute("SELECT 1/0")

    assert await code_of(careless()) == "DATABASE_TRANSACTION_ABORTED"


@async_test
async def test_who_only_reads_changes_nothing_and_never_leaves_doubt(
    postgres: PostgresServer,
) -> None:
    async with cutting(postgres.access("database")) as (cutter, access):
        pool = PostgresPool(access, application="test-pool")
        await pool.start()
        try:

            async def change() -> None:
                async with pool.tenant_read(ALPHA) as tx:
                    await tx.execute(INSERT_STREAM, uuid5(SPACE, "never"))

            async def look() -> None:
                async with pool.platform_read() as tx:
                    await tx.fetch_value("SELECT 1")

            assert await code_of(change()) == "DATABASE_READ_ONLY"
            cutter.cuts = [Cut.AFTER]
            assert await code_of(look()) == "DATABASE_CONNECTION_LOST"
            await look()
        finally:
            await pool.stop()


@async_test
async def test_a_savepoint_undoes_only_its_body(postgres: PostgresServer) -> None:
    stream = uuid5(SPACE, "savepoint")
    async with pool_of(postgres) as pool:
        async with pool.tenant_tx(ALPHA) as tx:
            await tx.execute(INSERT_STREAM, stream)
            with pytest.raises(AitradingError, match="DATABASE_ALREADY_EXISTS"):
                async with tx.savepoint():
                    await tx.execute(INSERT_STREAM, stream)
        async with pool.tenant_tx(ALPHA) as tx:
            assert await tx.fetch_value(COUNT, stream) == 1


@async_test
async def test_a_full_pool_says_so(postgres: PostgresServer) -> None:
    async with pool_of(postgres, max_connections=1, acquire_timeout_s=0.1) as pool:
        async with pool.tenant_tx(ALPHA):
            assert await code_of(enter(pool.tenant_tx(BETA))) == "DATABASE_POOL_EXHAUSTED"
        async with pool.tenant_tx(BETA):
            assert pool.statistics().refused == 1


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT pg_sleep(5)", "DATABASE_STATEMENT_TIMEOUT"),
        ("DELETE FROM market.streams", "DATABASE_NOT_PERMITTED"),
        ("TRUNCATE market.streams", "DATABASE_NOT_PERMITTED"),
        ("CREATE TABLE market.x ()", "DATABASE_NOT_PERMITTED"),
        ("COPY market.streams TO PROGRAM 'id'", "DATABASE_NOT_PERMITTED"),
        ("SET ROLE aitrading_owner", "DATABASE_NOT_PERMITTED"),
        ("SELECT * FROM identity.users", "DATABASE_NOT_PERMITTED"),
        ("UPDATE audit.pending SET outcome = 'done'", "DATABASE_NOT_PERMITTED"),
        ("DELETE FROM audit.pending", "DATABASE_NOT_PERMITTED"),
        ("nonsense", "DATABASE_REJECTED"),
    ],
)
@async_test
async def test_what_the_service_role_may_not_do(
    sql: str, code: str, postgres: PostgresServer
) -> None:
    async with pool_of(postgres, statement_timeout_ms=100) as pool:

        async def run() -> None:
            async with pool.tenant_tx(ALPHA) as tx:
                await tx.execute(sql)

        assert await code_of(run()) == code


@async_test
async def test_concurrent_changes_are_told_apart(postgres: PostgresServer) -> None:
    first, second = UUID(int=1), UUID(int=2)
    postgres.as_superuser(
        "CREATE TABLE IF NOT EXISTS public.counter (id uuid PRIMARY KEY, n int);"
        ' GRANT ALL ON public.counter TO "database"; GRANT USAGE ON SCHEMA public TO "database";'
        " INSERT INTO public.counter VALUES"
        " ('00000000-0000-0000-0000-000000000001', 0),"
        " ('00000000-0000-0000-0000-000000000002', 0);"
    )
    raise_n = "UPDATE public.counter SET n = n + 1 WHERE id = $1"
    async with pool_of(postgres) as pool:

        async def lose_the_race() -> None:
            async with pool.platform_tx(serializable=True) as loser:
                await loser.fetch_value("SELECT sum(n) FROM public.counter")
                async with pool.platform_tx(serializable=True) as winner:
                    await winner.execute(raise_n, first)
                await loser.execute(raise_n, first)

        async def cross(own: UUID, other: UUID, barrier: asyncio.Barrier) -> None:
            async with pool.platform_tx() as tx:
                await tx.execute(raise_n, own)
                await barrier.wait()
                await tx.execute(raise_n, other)

        async def embrace() -> None:
            barrier = asyncio.Barrier(2)
            async with asyncio.TaskGroup() as group:
                group.create_task(cross(first, second, barrier))
                group.create_task(cross(second, first, barrier))

        assert await code_of(lose_the_race()) == "DATABASE_SERIALISATION_FAILURE"
        with pytest.raises(ExceptionGroup) as caught:
            await embrace()
        assert [error.code for error in caught.value.exceptions] == ["DATABASE_DEADLOCK"]
    postgres.as_superuser("DROP TABLE public.counter; REVOKE ALL ON SCHEMA public FROM public;")
    postgres.as_superuser('REVOKE ALL ON SCHEMA public FROM "database";')


@async_test
async def test_a_lost_connection_is_typed_and_found_again(postgres: PostgresServer) -> None:
    async with pool_of(postgres, max_connections=1) as pool:

        async def cut() -> None:
            async with pool.tenant_tx(ALPHA) as tx:
                pid = await tx.fetch_value("SELECT pg_backend_pid()")
                await asyncio.to_thread(
                    postgres.as_superuser, f"SELECT pg_terminate_backend({pid})"
                )
                await tx.fetch_value("SELECT 1")

        assert await code_of(cut()) == "DATABASE_CONNECTION_LOST"
        assert pool.state is ComponentState.DEGRADED
        async with pool.tenant_tx(ALPHA) as tx:
            assert await tx.fetch_value("SELECT 1") == 1
        assert pool.state is ComponentState.HEALTHY


@async_test
async def test_a_connection_lost_at_commit_is_not_called_a_failure(
    postgres: PostgresServer,
) -> None:
    async with pool_of(postgres, max_connections=1) as pool:

        async def cut() -> None:
            async with pool.tenant_tx(ALPHA) as tx:
                pid = await tx.fetch_value("SELECT pg_backend_pid()")
                await asyncio.to_thread(
                    postgres.as_superuser, f"SELECT pg_terminate_backend({pid})"
                )

        assert await code_of(cut()) == "DATABASE_COMMIT_UNKNOWN"


@async_test
async def test_an_absent_server_fails_the_start(postgres: PostgresServer) -> None:
    access = msgspec.structs.replace(postgres.access("database"), host="/nowhere")
    pool = PostgresPool(access, application="test")
    assert await code_of(pool.start()) == "DATABASE_CONNECTION_LOST"
    assert pool.state is ComponentState.FAILED


@pytest.mark.parametrize("role", ["postgres", "migrator"])
@async_test
async def test_a_strong_role_fails_the_start(role: str, postgres: PostgresServer) -> None:
    pool = PostgresPool(postgres.access(role), application="test")
    if role == "migrator":
        await pool.start()
        await pool.stop()
    else:
        assert await code_of(pool.start()) == "DATABASE_ROLE_TOO_STRONG"


@async_test
async def test_plaintext_to_a_host_fails_the_start(postgres: PostgresServer) -> None:
    access = msgspec.structs.replace(postgres.access("database"), host="127.0.0.1")
    pool = PostgresPool(access, application="test")
    assert await code_of(pool.start()) == "DATABASE_PLAINTEXT_REFUSED"


@async_test
async def test_nothing_stays_connected_after_stop(postgres: PostgresServer) -> None:
    async with pool_of(postgres, min_connections=3):
        pass
    open_sessions = (
        "SELECT count(*) AS n FROM pg_stat_activity WHERE application_name = 'test-pool'"
    )
    await eventually(
        lambda: postgres.as_superuser(open_sessions)[0]["n"] == 0, what="sessions to end"
    )
