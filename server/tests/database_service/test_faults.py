"""Faults of the running service: each recovery site acts, shows itself, and ends by itself."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typing_extensions import override

from aitrading.core.infrastructure.resilience import BreakerState
from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import SystemIdFactory, TenantId
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.core.testing.manual_clock import ManualClock
from aitrading.server.database_service.cache.composition import make_cache
from aitrading.server.database_service.cache.quotes import QuoteCache
from aitrading.server.database_service.clickhouse.port import Rows
from aitrading.server.database_service.settings import CacheSettings, GuardSettings
from aitrading.server.database_service.ticks.port import PageQuestion
from aitrading.server.database_service.ticks.reader import TickReader, TicksQuestion
from aitrading.server.database_service.ticks.rendering import LATEST_MS
from aitrading.server.database_service.ticks.store import ClickHouseTickStore
from aitrading.server.engines.passwords import PasswordStore
from aitrading.server.engines.postgres import PostgresEngine, PostgresFolders
from aitrading.server.kit.store_settings import StoreSettings
from aitrading.server.kit.valkey import ValkeyClient
from aitrading.server.testing.engines import running, running_valkey, socket_folder

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]
Tenants = tuple[TenantId, TenantId]
Payload = Callable[..., bytes]
QUESTION = TicksQuestion(
    symbol="EURUSD", stream=None, from_ms=0, to_ms=LATEST_MS, limit=10, after=None
)


async def code_of(attempt: Any) -> str:
    with pytest.raises(AitradingError) as caught:
        await attempt
    return caught.value.code


def part(w: Any, kind: str, name: str) -> dict[str, Any]:
    """What health shows of a breaker or bulkhead."""
    return w.health.report()["resilience"][kind][name]


def site(w: Any, name: str) -> dict[str, Any]:
    """What health shows of a recovery site."""
    return w.health.report()["resilience"]["recovery"][name]


@async_test
async def test_a_dead_postgres_opens_the_breaker_and_a_living_one_closes_it(
    world: Any, tenants: Tenants, payload: Payload, tmp_path: Path, migrate_access: Any
) -> None:
    alpha, _ = tenants
    with socket_folder() as sockets:
        engine = PostgresEngine(
            PostgresFolders(data_root=tmp_path / "pg", socket_folder=sockets / "pg"),
            PasswordStore(tmp_path / "passwords", SystemRandomness()),
        )
        clock = ManualClock()
        settings = GuardSettings(failures=2, open_s=5.0)
        async with running(engine, tmp_path):
            await migrate_access(engine.access("migrator"))
            async with world(clock=clock, settings=settings, access=engine.access) as w:
                stream = await w.open(alpha)
                segment = w.segment(payload(alpha, stream, 1, 10))
                kill_postmaster(tmp_path / "pg")
                for _ in range(2):
                    assert await code_of(w.intake.take(*segment)) == "DATABASE_CONNECTION_LOST"
                assert await code_of(w.intake.take(*segment)) == "BREAKER_OPEN"
                assert await code_of(w.reader.page(alpha, QUESTION)) == "BREAKER_OPEN"
                assert part(w, "breaker", "database-postgres")["state"] == BreakerState.OPEN
                assert site(w, "database-postgres")["active"]
                assert w.health.state() == "DEGRADED"
                async with running(engine, tmp_path):
                    await clock.advance(5.0)
                    await w.intake.take(*segment)
                    assert part(w, "breaker", "database-postgres")["state"] == "CLOSED"
                    assert not site(w, "database-postgres")["active"]
                    assert await w.counts(alpha, stream) == (10, 10, 1, 10)


def kill_postmaster(data_root: Path) -> None:
    pid = int(next(data_root.glob("*/data/postmaster.pid")).read_text().splitlines()[0])
    os.kill(pid, signal.SIGKILL)


class SlowStore(ClickHouseTickStore):
    """Every page is preceded by a question that takes its time in ClickHouse."""

    slow_s = 1.0

    @override
    async def page(self, question: PageQuestion) -> Rows:
        await self._clickhouse.select(
            "SELECT toUInt64(sleepEachRow({pause:Float64})) AS n FROM numbers(1)",
            np.dtype([("n", "<u8")]),
            {"pause": str(self.slow_s)},
        )
        return await super().page(question)


@async_test
async def test_slow_questions_fill_their_bulkhead_and_not_the_way_of_ticks(
    world: Any, tenants: Tenants
) -> None:
    alpha, _ = tenants
    async with world(settings=GuardSettings(reads=2, read_queue=1)) as w:
        stream = await w.open(alpha)
        await w.send(alpha, stream, 1, 10)
        reader = TickReader(w.pool, SlowStore(w.clickhouse), w.guards)
        async with asyncio.TaskGroup() as group:
            pages = [group.create_task(reader.page(alpha, QUESTION)) for _ in range(3)]
            await eventually(lambda: part(w, "bulkhead", "database-reads")["waiting"] == 1)
            assert await code_of(reader.page(alpha, QUESTION)) == "BULKHEAD_FULL"
            assert await w.send(alpha, stream, 11, 10) == 10
            assert not any(page.done() for page in pages)
        assert all(len(page.result().items) == 10 for page in pages)
        assert part(w, "bulkhead", "database-reads")["refused"] == 1
        assert site(w, "database-reads")["acts"] == 1


@asynccontextmanager
async def broken_disk(folder: Path) -> AsyncIterator[None]:
    """Where the table's folder was is something that takes no data, as a full disk takes none."""
    (link,) = await asyncio.to_thread(lambda: [*folder.glob("clickhouse/data/data/market/ticks")])
    table = link.resolve()
    away = table.rename(table.with_suffix(".away"))
    table.write_text("in the way")
    try:
        yield
    finally:
        table.unlink()
        away.rename(table)


@async_test
async def test_ticks_that_could_not_be_written_are_not_called_stored(
    world: Any, tenants: Tenants, payload: Payload, tmp_path: Path
) -> None:
    alpha, _ = tenants
    clock = ManualClock(SystemClock().now_ns())
    async with world(clock=clock, settings=GuardSettings(failures=2, open_s=5)) as w:
        stream = await w.open(alpha)
        await w.send(alpha, stream, 1, 10)
        segment = w.segment(payload(alpha, stream, 11, 10))
        async with broken_disk(tmp_path):
            for _ in range(2):
                assert (await code_of(w.intake.take(*segment))).startswith("CLICKHOUSE_")
                assert await w.clickhouse.select("SELECT 1 AS n", np.dtype([("n", "u1")]))
            assert await code_of(w.intake.take(*segment)) == "BREAKER_OPEN"
            assert site(w, "database-clickhouse-writes")["active"]
        await clock.advance(5.0)
        _, outcome = await w.intake.take(*segment)
        assert outcome.inserted == 10
        assert await w.counts(alpha, stream) == (20, 20, 1, 20)


@async_test
async def test_a_question_that_takes_too_long_is_given_up(world: Any, tenants: Tenants) -> None:
    alpha, _ = tenants
    async with world(read_timeout_s=1, settings=GuardSettings(failures=2)) as w:
        await w.send(alpha, await w.open(alpha), 1, 10)
        endless = "SELECT sum(sipHash64(number)) AS n FROM numbers(100000000000)"

        async def ask() -> Rows:
            return await w.clickhouse.select(endless, np.dtype([("n", "<u8")]))

        for _ in range(2):
            assert await code_of(w.guards.clickhouse_reads.run(ask)) == "CLICKHOUSE_TOO_SLOW"
        assert await code_of(w.reader.page(alpha, QUESTION)) == "BREAKER_OPEN"
        assert part(w, "breaker", "database-clickhouse-reads")["state"] == "OPEN"
        assert site(w, "database-clickhouse-reads")["acts"] == 1


@async_test
async def test_segments_queue_up_to_a_limit(
    world: Any, tenants: Tenants, payload: Payload
) -> None:
    alpha, _ = tenants
    async with world(settings=GuardSettings(write_queue=1)) as w:
        stream = await w.open(alpha)
        segments = [w.segment(payload(alpha, stream, 1 + 10 * n, 10)) for n in range(5)]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(outcome_of(w, segment)) for segment in segments]
        outcomes = [task.result() for task in tasks]
        assert set(outcomes) == {"stored", "BULKHEAD_FULL"}
        assert site(w, "database-writes")["acts"] == outcomes.count("BULKHEAD_FULL")
        for segment in segments:
            await w.intake.take(*segment)
        assert await w.counts(alpha, stream) == (50, 50, 1, 50)


async def outcome_of(w: Any, segment: tuple[str, bytes]) -> str:
    try:
        await w.intake.take(*segment)
    except AitradingError as exc:
        return exc.code
    return "stored"


def quote_cache(w: Any, client: ValkeyClient) -> QuoteCache:
    clock = SystemClock()
    ids = SystemIdFactory(clock, SystemRandomness())
    cache = make_cache(client, CacheSettings(), StoreSettings(), w.guards, clock, ids)
    return QuoteCache(cache, w.reader, w.errors, clock)


@asynccontextmanager
async def cache_of(w: Any, client: ValkeyClient) -> AsyncIterator[QuoteCache]:
    cache = quote_cache(w, client)
    try:
        yield cache
    finally:
        await client.stop()


@async_test
async def test_quotes_come_from_the_store_while_the_cache_is_away(
    world: Any, tenants: Tenants, payload: Payload, tmp_path: Path
) -> None:
    alpha, _ = tenants
    async with world() as w:
        stream = await w.open(alpha)
        async with running_valkey(tmp_path) as valkey:
            access = valkey.access("database-service")
            client = ValkeyClient(access)
            cache = quote_cache(w, client)
            _, outcome = await w.intake.take(*w.segment(payload(alpha, stream, 1, 10)))
            cache.offer(outcome.streams, outcome.pieces)
            await cache.flush()
            cached = await cache.last_quotes(alpha)
        assert (cached.source, cached.quotes[0].sequence) == ("cache", 10)

        stored = await cache.last_quotes(alpha)
        assert (stored.source, stored.quotes) == ("store", cached.quotes)
        assert site(w, "database-quote-cache")["active"]
        assert w.health.state() == "DEGRADED"
        await client.stop()


@async_test
async def test_an_empty_cache_is_filled_from_the_store(
    world: Any, tenants: Tenants, tmp_path: Path
) -> None:
    alpha, _ = tenants
    async with world() as w, running_valkey(tmp_path) as valkey:
        await w.send(alpha, await w.open(alpha), 1, 10)
        async with cache_of(w, ValkeyClient(valkey.access("database-service"))) as cache:
            assert (await cache.last_quotes(alpha)).source == "store"
            await cache.flush()
            assert (await cache.last_quotes(alpha)).source == "cache"


@async_test
async def test_the_quarantine_has_an_end(world: Any, tmp_path: Path) -> None:
    """Its limit is 1 MiB here; what does not fit is refused all the same."""
    async with world() as w:
        for number in range(4):
            name, _ = w.segment()
            body = bytes([number]) * 400_000
            assert await code_of(w.intake.take(name, body)) == "SEGMENT_QUARANTINED"
        kept = await asyncio.to_thread(lambda: list((tmp_path / "quarantine").glob("*.segment")))
        notes = await asyncio.to_thread(lambda: list((tmp_path / "quarantine").glob("*.json")))
        assert len(kept) == len(notes) == 2
