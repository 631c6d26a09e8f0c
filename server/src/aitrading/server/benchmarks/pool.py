"""What keeping connections is worth, on a PostgreSQL over TLS with passwords (scram).

The floor opens a connection for each question, as a program without a pool does. The same number
of questions is under way in each measurement, on the event loop that services run on. `pool.ratio`
takes a connection from the platform's pool, asks, and gives it back; `pool.tenant_ratio` is the pool
as services use it: a transaction with its tenant set, which is three round trips instead of one.
Every round measures all three, and the medians count: other work on the machine comes and goes.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any, Final, cast
from uuid import UUID

import asyncpg
import uvloop

from aitrading.core.kit.ids import TenantId
from aitrading.server.kit.bundle import PostgresAccess
from aitrading.server.kit.connection_pool import ConnectionPool, PlainConnection
from aitrading.server.kit.postgres import PoolLimits, PostgresPool
from aitrading.server.kit.postgres_tls import ssl_of
from aitrading.server.testing.personal_data import runner_for
from aitrading.server.testing.postgres15 import postgres15_missing, running_postgres15

IN_FLIGHT: Final = 8
ROUNDS: Final = 5
CONNECTS: Final = 16
QUESTIONS: Final = 1_600
PATIENCE_S: Final = 5.0
TENANT: Final = TenantId(UUID(int=0xBE4C))
STREAM: Final = UUID(int=0xBE4D)
_ADD: Final = """
INSERT INTO market.streams (id, device_id, broker, symbol, epoch, digits)
VALUES ($1, $1, 'Demo', 'EURUSD', 1, 5) ON CONFLICT DO NOTHING
"""
_POINT: Final = "SELECT digits FROM market.streams WHERE id = $1"
_ONE: Final = "SELECT $1::uuid"
_NAMES: Final = (
    "connect_per_s",
    "held_per_s",
    "tenant_per_s",
    "ratio",
    "tenant_ratio",
    "point_read_p50_ms",
    "point_read_p99_ms",
)
REASONS: Final = {f"pool.{name}": postgres15_missing() for name in _NAMES}
on_loop: Final = uvloop.run
"""Services run on it; on the loop of the standard library every question costs twice."""
Ask = Callable[[], Awaitable[object]]
Figures = dict[str, float | None]


async def run(*, long: bool = False) -> Figures:
    """Every figure is null where no PostgreSQL with TLS is installed."""
    if postgres15_missing():
        return {f"pool.{name}": None for name in _NAMES}
    factor = 5 if long else 1
    with running_postgres15() as server:
        runner = runner_for(server.access("migrator"), "bench")
        await runner.apply()
        return await measure(server.access("database"), factor)


async def measure(access: PostgresAccess, factor: int) -> Figures:
    """Every figure, on a server that has the platform's schema."""
    pool = PostgresPool(access, application="bench", limits=PoolLimits(max_connections=IN_FLIGHT))
    await pool.start()
    connect = partial(cast("Any", asyncpg).connect, **_login(access))
    held = ConnectionPool(
        partial(connect, connection_class=PlainConnection), least=IN_FLIGHT, limit=IN_FLIGHT
    )
    await held.open()
    try:
        async with pool.tenant_tx(TENANT) as tx:
            await tx.execute(_ADD, STREAM)

        async def connecting() -> None:
            connection = await connect()
            await connection.fetchval(_ONE, STREAM)
            await connection.close()

        async def holding() -> None:
            connection = await held.acquire(PATIENCE_S)
            await connection.fetchval(_ONE, STREAM)
            held.release(connection)

        async def as_a_tenant() -> None:
            async with pool.tenant_tx(TENANT) as tx:
                await tx.fetch_value(_ONE, STREAM)

        async def reading() -> None:
            async with pool.tenant_tx(TENANT) as tx:
                await tx.fetch_value(_POINT, STREAM)

        rounds = [
            (
                await _per_second(connecting, CONNECTS * factor),
                await _per_second(holding, QUESTIONS * factor),
                await _per_second(as_a_tenant, QUESTIONS * factor),
            )
            for _ in range(ROUNDS)
        ]
        alone_ms = await _alone_ms(reading, QUESTIONS)
    finally:
        await held.close(PATIENCE_S)
        await pool.stop()
    return {
        "pool.connect_per_s": _median(connect for connect, _, _ in rounds),
        "pool.held_per_s": _median(held for _, held, _ in rounds),
        "pool.tenant_per_s": _median(tenant for _, _, tenant in rounds),
        "pool.ratio": _median(held / connect for connect, held, _ in rounds),
        "pool.tenant_ratio": _median(tenant / connect for connect, _, tenant in rounds),
        "pool.point_read_p50_ms": round(alone_ms[49], 3),
        "pool.point_read_p99_ms": round(alone_ms[98], 3),
    }


def _median(values: Iterable[float]) -> float:
    return round(statistics.median(values), 1)


def _login(access: PostgresAccess) -> dict[str, Any]:
    return {
        "host": access.host,
        "port": access.port,
        "database": access.database,
        "user": access.user,
        "password": access.password,
        "ssl": ssl_of(access),
    }


async def _per_second(ask: Ask, count: int) -> float:
    async def one_after_the_other() -> None:
        for _ in range(count // IN_FLIGHT):
            await ask()

    await ask()
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(IN_FLIGHT):
            group.create_task(one_after_the_other())
    return count / (time.perf_counter() - began)


async def _alone_ms(ask: Ask, count: int) -> list[float]:
    """Percentiles of one question after the other."""
    taken_ms: list[float] = []
    for _ in range(count):
        began = time.perf_counter()
        await ask()
        taken_ms.append((time.perf_counter() - began) * 1_000)
    return statistics.quantiles(taken_ms, n=100)
