"""One contract, two ways to ClickHouse: the engine in the process, and a server over HTTPS.

The server here is the same engine behind a small HTTPS front that speaks ClickHouse's interface:
no other ClickHouse could be had.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import TenantId
from aitrading.core.security.db_security_manager import Store, accept_url
from aitrading.core.testing.async_test import async_test
from aitrading.server.database_service.clickhouse.embedded import (
    EmbeddedClickHouse,
    EngineLimits,
)
from aitrading.server.database_service.clickhouse.native import (
    Column,
    encode_block,
    uuid_columns,
)
from aitrading.server.database_service.clickhouse.port import ClickHouseEngine
from aitrading.server.database_service.clickhouse.schema import ClickHouseSchema
from aitrading.server.database_service.clickhouse.served import ServedClickHouse, ServerLimits
from aitrading.server.database_service.clickhouse.walls import TENANT_TABLES, Whose
from aitrading.server.database_service.postgres_schema import migrations
from aitrading.server.testing.clickhouse_front import running_clickhouse_front

pytestmark = [
    pytest.mark.integration,
    pytest.mark.parametrize(
        "kind", ["embedded", pytest.param("served", marks=pytest.mark.servers)]
    ),
]
NUMBER = np.dtype([("n", "<u8")])
SPACE = UUID(int=5)
LABEL = "spool-1:0a"
MAKE_TABLE = """
CREATE TABLE t.numbers (id UUID, n UInt64) ENGINE = MergeTree ORDER BY n
SETTINGS non_replicated_deduplication_window = 100
"""


@asynccontextmanager
async def engine_of(kind: str, folder: Path) -> AsyncIterator[ClickHouseEngine]:
    if kind == "embedded":
        async with started(EmbeddedClickHouse(folder, limits=EngineLimits(read_timeout_s=1))) as e:
            yield e
        return
    with running_clickhouse_front(folder) as front:
        target = accept_url(Store.CLICKHOUSE, front.url)
        limits = ServerLimits(read_timeout_s=1)
        async with started(ServedClickHouse(target, limits=limits)) as e:
            yield e


@asynccontextmanager
async def started(engine: ClickHouseEngine) -> AsyncIterator[ClickHouseEngine]:
    await engine.start()
    try:
        assert engine.state is ComponentState.HEALTHY
        await engine.execute("CREATE DATABASE IF NOT EXISTS t ENGINE = Atomic")
        yield engine
    finally:
        await engine.stop()
        assert engine.state is ComponentState.STOPPED


def block(first: int, number: int) -> bytes:
    ids = uuid_columns([SPACE]).repeat(number, axis=0)
    numbers = np.arange(first, first + number, dtype="<u8")
    return encode_block([Column("id", "UUID", ids), Column("n", "UInt64", numbers)], number)


async def total(engine: ClickHouseEngine) -> int:
    rows = await engine.select(
        "SELECT count() AS n FROM t.numbers WHERE id = {id:UUID}",
        NUMBER,
        {"id": SPACE},
        after_writes=True,
    )
    return int(rows["n"][0])


async def code_of(attempt: Any) -> str:
    with pytest.raises(AitradingError) as caught:
        await attempt
    return caught.value.code


@async_test
async def test_a_block_that_comes_twice_is_stored_twice(kind: str, tmp_path: Path) -> None:
    """The ledger decides what is new, and the engine's deduplication never does."""
    async with engine_of(kind, tmp_path) as engine:
        await engine.execute(MAKE_TABLE)
        for label in ("a:1", "a:1", "b/2"):
            await engine.insert("t.numbers (id, n)", block(1, 1_000), label=label)
        assert await total(engine) == 3_000


@pytest.mark.parametrize("label", ["", "a'b", "a b", "x" * 121, "ä"])
@async_test
async def test_a_strange_label_is_a_mistake(label: str, kind: str, tmp_path: Path) -> None:
    async with engine_of(kind, tmp_path) as engine:
        with pytest.raises(ValueError, match="label"):
            await engine.insert("t.numbers (id, n)", block(1, 1), label=label)


@async_test
async def test_values_travel_beside_the_statement(kind: str, tmp_path: Path) -> None:
    nasty = "it's \\ \t a {x:UInt64} -- \n end"
    async with engine_of(kind, tmp_path) as engine:
        rows = await engine.select(
            "SELECT toUInt64(length({s:String})) AS n, toUInt64(arraySum({a:Array(UInt64)})),"
            " toUInt64(length({u:Array(UUID)})), toUInt64({i:Int64} = -5)",
            np.dtype([("n", "<u8"), ("sum", "<u8"), ("ids", "<u8"), ("minus", "<u8")]),
            {"s": nasty, "a": [1, 2, 3], "u": [SPACE, SPACE], "i": -5},
        )
        assert rows[0].tolist() == (len(nasty), 6, 2, 1)
        empty = await engine.select(
            "SELECT toUInt64(length({a:Array(UInt64)})) AS n", NUMBER, {"a": []}
        )
        assert empty["n"][0] == 0


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT nonsense FROM", "CLICKHOUSE_REJECTED"),
        ("SELECT n FROM t.absent", "CLICKHOUSE_REJECTED"),
        ("SELECT sum(sipHash64(number)) AS n FROM numbers(100000000000)", "CLICKHOUSE_TOO_SLOW"),
    ],
)
@async_test
async def test_failures_are_typed(sql: str, code: str, kind: str, tmp_path: Path) -> None:
    async with engine_of(kind, tmp_path) as engine:
        assert await code_of(engine.select(sql, NUMBER)) == code
        assert (await engine.select("SELECT toUInt64(1) AS n", NUMBER))["n"][0] == 1


@async_test
async def test_a_damaged_block_stores_nothing(kind: str, tmp_path: Path) -> None:
    async with engine_of(kind, tmp_path) as engine:
        await engine.execute(MAKE_TABLE)
        damaged = block(1, 1_000)[:-7]
        into = "t.numbers (id, n)"
        assert await code_of(engine.insert(into, damaged, label=LABEL)) == "CLICKHOUSE_REJECTED"
        assert await total(engine) == 0
        await engine.insert(into, block(1, 10), label=LABEL)
        assert await total(engine) == 10


@async_test
async def test_the_schema_is_applied_once(kind: str, tmp_path: Path) -> None:
    folder = Path(__file__).parents[2] / (
        "src/aitrading/server/database_service/migrations/clickhouse"
    )
    async with engine_of(kind, tmp_path) as engine:
        schema = ClickHouseSchema(engine, folder)
        applied = await schema.apply()
        assert applied[0] == "0001_ticks.sql"
        assert await schema.apply() == []


@async_test
async def test_a_stopped_engine_says_so(kind: str, tmp_path: Path) -> None:
    async with engine_of(kind, tmp_path) as engine:
        await engine.execute(MAKE_TABLE)
    if kind == "embedded":
        assert await code_of(engine.execute("SELECT 1")) == "CLICKHOUSE_UNAVAILABLE"


@async_test
async def test_readers_do_not_wait_for_each_other(kind: str, tmp_path: Path) -> None:
    async with engine_of(kind, tmp_path) as engine:
        slow = "SELECT toUInt64(sleepEachRow(0.5)) AS n FROM numbers(1)"
        async with asyncio.TaskGroup() as group:
            sleeper = group.create_task(engine.select(slow, NUMBER))
            await engine.select("SELECT toUInt64(1) AS n", NUMBER)
            assert not sleeper.done()


FORGETFUL = (
    "SELECT count() AS n FROM market.ticks",
    "SELECT count() AS n FROM market.ticks AS anything",
    "SELECT count() AS n FROM (SELECT * FROM market.ticks UNION ALL SELECT * FROM market.ticks)",
    "WITH some AS (SELECT * FROM market.ticks) SELECT count() AS n FROM some",
    "SELECT assumeNotNull((SELECT count() FROM market.ticks)) AS n",
    "SELECT count() AS n FROM numbers(9) AS a JOIN market.ticks AS b ON a.number < b.sequence",
    "SELECT toUInt64(max(sequence)) AS n FROM market.ticks",
    "SELECT count() AS n FROM market.ticks ARRAY JOIN [1, 2] AS twice",
    "SELECT count() AS n FROM market.ticks WHERE tenant = {other:UUID}",
    "SELECT count() AS n FROM market.ticks WHERE 1 OR tenant = {other:UUID}",
)


@async_test
async def test_a_forgetful_statement_sees_one_tenant_at_most(kind: str, tmp_path: Path) -> None:
    alpha, beta = TenantId(UUID(int=0xA)), TenantId(UUID(int=0xB))
    fill = (
        "INSERT INTO market.ticks (tenant, stream, event_ms, sequence, bid, spread, last, flags,"
        " received_on) SELECT {tenant:UUID}, {tenant:UUID}, number, number + 1, 1, 1, 0, 6,"
        " toDate('2026-01-01') FROM numbers({count:UInt64})"
    )
    async with engine_of(kind, tmp_path) as engine:
        await ClickHouseSchema(engine, migrations("clickhouse")).apply()
        for tenant, count in ((alpha, 3), (beta, 5)):
            await engine.execute(fill, {"tenant": tenant, "count": count})
        for sql in FORGETFUL:
            answers = {
                whose: int((await engine.select(sql, NUMBER, {"other": beta}, of=whose))["n"][0])
                for whose in (alpha, beta, Whose.NOBODY)
            }
            own = 0 if "tenant =" in sql and "OR" not in sql else 1
            assert bool(answers[alpha]) == bool(own), sql
            assert answers[beta] > answers[alpha], sql
            assert answers[Whose.NOBODY] == 0, sql
        copy = "INSERT INTO t.copy SELECT sequence FROM market.ticks"
        await engine.execute("CREATE TABLE t.copy (n UInt64) ENGINE = MergeTree ORDER BY n")
        await engine.execute(copy)
        assert int((await engine.select("SELECT count() AS n FROM t.copy", NUMBER))["n"][0]) == 0
        await engine.execute(copy, of=alpha)
        rows = await engine.select("SELECT count() AS n FROM t.copy", NUMBER, after_writes=True)
        assert int(rows["n"][0]) == 3


@async_test
async def test_every_table_with_a_tenant_is_behind_the_wall(kind: str, tmp_path: Path) -> None:
    layout = np.dtype([("whole", "S64")])
    async with engine_of(kind, tmp_path) as engine:
        await ClickHouseSchema(engine, migrations("clickhouse")).apply()
        rows = await engine.select(
            "SELECT toFixedString(concat(database, '.', table), 64) AS whole FROM system.columns"
            " WHERE name = 'tenant' AND database NOT IN ('system', 'INFORMATION_SCHEMA')"
            " ORDER BY whole",
            layout,
        )
        assert tuple(name.decode() for name in rows["whole"]) == TENANT_TABLES
