"""What only a server reached over a network can do wrong."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from aitrading.core.kit.errors import AitradingError
from aitrading.core.security.db_security_manager import Store, accept_url
from aitrading.core.testing.async_test import async_test
from aitrading.server.database_service.clickhouse.native import Column, encode_block
from aitrading.server.database_service.clickhouse.served import ServedClickHouse
from aitrading.server.testing.clickhouse_front import FrontState, running_clickhouse_front

pytestmark = [pytest.mark.integration, pytest.mark.servers]
NUMBER = np.dtype([("n", "<u8")])
INTO = "t.numbers (n)"
KILL = "KILL QUERY WHERE startsWith(query_id, 'aitrading-insert-') SYNC"


@asynccontextmanager
async def server(folder: Path) -> AsyncIterator[tuple[ServedClickHouse, FrontState]]:
    with running_clickhouse_front(folder) as front:
        engine = ServedClickHouse(accept_url(Store.CLICKHOUSE, front.url))
        await engine.start()
        try:
            await engine.execute("CREATE DATABASE IF NOT EXISTS t ENGINE = Atomic")
            await engine.execute("CREATE TABLE t.numbers (n UInt64) ENGINE = MergeTree ORDER BY n")
            yield engine, front
        finally:
            await engine.stop()


def block(rows: int) -> bytes:
    return encode_block([Column("n", "UInt64", np.arange(rows, dtype="<u8"))], rows)


async def total(engine: ServedClickHouse) -> int:
    count = "SELECT count() AS n FROM t.numbers"
    return int((await engine.select(count, NUMBER, after_writes=True))["n"][0])


@async_test
async def test_an_insert_nobody_answered_is_not_sent_again(tmp_path: Path) -> None:
    async with server(tmp_path) as (engine, front):
        await engine.insert(INTO, block(10), label="a")
        front.hang_up_after_inserts = 1
        with pytest.raises(AitradingError) as caught:
            await engine.insert(INTO, block(10), label="b")
        assert caught.value.code == "CLICKHOUSE_UNAVAILABLE"
        assert await total(engine) == 20


@async_test
async def test_what_nobody_waits_for_is_ended_before_anything_is_asked(tmp_path: Path) -> None:
    async with server(tmp_path) as (engine, front):
        assert front.asked[0] == KILL
        front.hang_up_after_inserts = 1
        with pytest.raises(AitradingError):
            await engine.insert(INTO, block(10), label="a")
        front.asked.clear()
        await total(engine)
        await total(engine)
        assert [sql == KILL for sql in front.asked] == [True, False, False]
