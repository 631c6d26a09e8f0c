"""The stores behind the database service: each job against the bare engine, in the same run.

- One row of PostgreSQL by its key, in a tenant's transaction and bare on one connection.
- Hours of ten million ticks of one stream, from the kept bars and from the ticks.
- One value of the cache through the port and bare on the same client.
- Segments through the whole writer (ledger, fsync) and the same blocks bare into the engine.
- Bytes a tick takes on disk, on generated days and, where one is given, on a real one.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast
from uuid import UUID, uuid5

import asyncpg
import numpy as np

from aitrading.core.domain.market import TICK_DTYPE, TickArray
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.resilience import ResilienceRegistry
from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.ids import SystemIdFactory, TenantId
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.testing.segments import ingest_payload, sealed_segment
from aitrading.server.benchmarks.real_ticks import BEGAN_MS, DAY_MS, NOT_GIVEN, GivenDay, given_day
from aitrading.server.database_service.bars.periods import DAY_S, Period
from aitrading.server.database_service.bars.port import BarsQuestion
from aitrading.server.database_service.bars.store import ClickHouseBarStore
from aitrading.server.database_service.cache.composition import make_cache
from aitrading.server.database_service.clickhouse.embedded import EmbeddedClickHouse, EngineLimits
from aitrading.server.database_service.clickhouse.schema import ClickHouseSchema
from aitrading.server.database_service.guards import Guards
from aitrading.server.database_service.postgres_schema import migrations
from aitrading.server.database_service.settings import CacheSettings, GuardSettings
from aitrading.server.database_service.ticks.ranges import SequenceRanges
from aitrading.server.database_service.ticks.segments import TickSegment, decode_segment
from aitrading.server.database_service.ticks.store import ClickHouseTickStore
from aitrading.server.database_service.ticks.streams import StreamBook
from aitrading.server.database_service.ticks.writer import TickWriter, new_pieces
from aitrading.server.kit.bundle import PostgresAccess
from aitrading.server.kit.cache.port import Cache
from aitrading.server.kit.ingest_api import OpenStreams, StreamOpening, segment_name
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.store_settings import StoreSettings
from aitrading.server.kit.valkey import ValkeyClient
from aitrading.server.testing.engines import running_postgres, running_valkey
from aitrading.server.testing.personal_data import runner_for

REASONS: Final = {
    "store.bytes_per_tick": NOT_GIVEN,
}
TENANT: Final = TenantId(UUID(int=0xBE7C))
SPOOL: Final = UUID(int=0xBE7D)
SEGMENT_ROWS: Final = 100_000
LARGE_SEGMENT_ROWS: Final = 500_000
ANALYSED_ROWS: Final = 10_000_000
POINT_READS: Final = 2_000
CACHE_READS: Final = 5_000
QUESTIONS: Final = 9
LONG_FACTOR: Final = 5
_VALUE: Final = b"x" * 100
_BARE_KEY: Final = "database-service:bench:%d"
"""Below the prefix that the access list allows, and no key that the port would make."""
_POINT_SQL: Final = "SELECT symbol, digits FROM market.streams WHERE id = $1"
_HOURS: Final = np.dtype(
    [
        ("hour", "<i8"),
        ("open", "<i4"),
        ("high", "<i4"),
        ("low", "<i4"),
        ("close", "<i4"),
        ("ticks", "<u8"),
    ]
)
_HOURS_SQL: Final = """
SELECT intDiv(event_ms, 3600000) AS hour, argMin(bid, sequence), max(bid), min(bid),
       argMax(bid, sequence), count()
  FROM market.ticks WHERE tenant = {tenant:UUID} AND stream = {stream:UUID}
 GROUP BY hour ORDER BY hour
"""
_BYTES: Final = np.dtype([("bytes", "<u8"), ("rows", "<u8")])
_BYTES_SQL: Final = """
SELECT sum(column_data_compressed_bytes), max(rows) FROM (
    SELECT column_data_compressed_bytes, rows FROM system.parts_columns
     WHERE active AND database = 'market' AND table = 'ticks')
"""


@dataclass
class Bench:
    """The parts of a database service over engines of their own."""

    pool: PostgresPool
    access: PostgresAccess
    clickhouse: EmbeddedClickHouse
    store: ClickHouseTickStore
    bars: ClickHouseBarStore
    writer: TickWriter
    book: StreamBook
    cache: Cache
    valkey: ValkeyClient
    factor: int
    numbers: dict[UUID, int] = field(default_factory=dict)

    async def stream(self, symbol: str) -> UUID:
        """A stream of the bench's tenant."""
        opening = StreamOpening(broker="Bench", login=1, symbol=symbol, epoch=1, digits=3)
        device = uuid5(TENANT, "device")
        opened = await self.book.open(
            OpenStreams(tenant=TENANT, device=device, streams=(opening,))
        )
        return opened.marks[0].stream

    def segment(self, stream: UUID, rows: TickArray) -> TickSegment:
        """The next rows of a stream as the bridge hands them over."""
        first = self.numbers.get(stream, 1)
        self.numbers[stream] = first + len(rows)
        payload = ingest_payload(rows, tenant=TENANT, stream=stream, first_sequence=first)
        number = sum(self.numbers.values())
        body = sealed_segment(SPOOL, number, [payload])
        return decode_segment(segment_name(SPOOL, number), body)


async def run(*, long: bool = False) -> dict[str, float | None]:
    """Measure; the figures' names begin with `store.`."""
    day = await asyncio.to_thread(given_day)
    with tempfile.TemporaryDirectory(prefix="ait-b-") as folder:
        async with _bench(Path(folder), long=long) as bench:
            return {
                **await _point_reads(bench),
                **await _cache_reads(bench),
                "store.bytes_per_tick": await _bytes_of(bench, day) if day else None,
                **await _inserts(bench),
                **await _analytics(bench),
            }


@asynccontextmanager
async def _bench(folder: Path, *, long: bool) -> AsyncGenerator[Bench]:
    clock = SystemClock()
    errors = ErrorHandler(
        clock=clock,
        randomness=SystemRandomness(),
        metrics=Metrics(),
        resilience=ResilienceRegistry(),
    )
    async with AsyncExitStack() as stack:
        postgres = await stack.enter_async_context(running_postgres(folder))
        valkey_engine = await stack.enter_async_context(running_valkey(folder))
        runner = runner_for(postgres.access("migrator"), "bench")
        await runner.apply()
        pool = PostgresPool(postgres.access("database"), application="bench")
        clickhouse = EmbeddedClickHouse(folder / "clickhouse", limits=EngineLimits())
        valkey = ValkeyClient(valkey_engine.access("database-service"))
        for part in (pool, clickhouse, valkey):
            await part.start()
            stack.push_async_callback(part.stop)
        await ClickHouseSchema(clickhouse, migrations("clickhouse")).apply()
        guards, store = Guards(GuardSettings(), clock, errors), ClickHouseTickStore(clickhouse)
        ids = SystemIdFactory(clock, SystemRandomness())
        yield Bench(
            pool=pool,
            access=postgres.access("database"),
            clickhouse=clickhouse,
            store=store,
            bars=ClickHouseBarStore(clickhouse),
            writer=TickWriter(pool, store, guards),
            book=StreamBook(pool, store, guards),
            cache=make_cache(valkey, CacheSettings(), StoreSettings(), guards, clock, ids),
            valkey=valkey,
            factor=LONG_FACTOR if long else 1,
        )


async def _point_reads(bench: Bench) -> dict[str, float | None]:
    streams = [await bench.stream(f"S{number}") for number in range(100)]
    connection: Any = await cast("Any", asyncpg).connect(
        host=bench.access.host,
        port=bench.access.port,
        user=bench.access.user,
        password=bench.access.password,
        database=bench.access.database,
    )
    try:
        await connection.fetch("SELECT set_config('app.tenant', $1, false)", str(TENANT))

        async def ours(number: int) -> None:
            async with bench.pool.tenant_tx(TENANT) as tx:
                await tx.fetch_row(_POINT_SQL, streams[number % len(streams)])

        async def bare(number: int) -> None:
            await connection.fetchrow(_POINT_SQL, streams[number % len(streams)])

        return await _compared("point_read", ours, bare, POINT_READS * bench.factor)
    finally:
        await connection.close()


async def _cache_reads(bench: Bench) -> dict[str, float | None]:
    keys = bench.cache.of(TENANT)
    for number in range(100):
        await keys.put(f"bench-{number}", _VALUE, life_s=600)
        await bench.valkey.call("SET", _BARE_KEY % number, _VALUE, "EX", "600")

    async def ours(number: int) -> None:
        assert await keys.get(f"bench-{number % 100}") is not None  # noqa: S101 - part of the work

    async def bare(number: int) -> None:
        assert await bench.valkey.call("GET", _BARE_KEY % (number % 100)) == _VALUE  # noqa: S101

    return await _compared("cache_read", ours, bare, CACHE_READS * bench.factor)


async def real_bytes_per_tick() -> float | None:
    """Bytes on disk of a tick of the given day, in a store of its own; None without one.

    Raises `BENCH_REAL_TICKS_INVALID`.
    """
    day = await asyncio.to_thread(given_day)
    if day is None:
        return None
    with tempfile.TemporaryDirectory(prefix="ait-b-") as folder:
        async with _bench(Path(folder), long=False) as bench:
            return await _bytes_of(bench, day)


async def _bytes_of(bench: Bench, day: GivenDay) -> float:
    """Before anything else is in the table, so that its size is the size of these rows."""
    rows = day.rows
    stream = await bench.stream("REAL")
    for begin in range(0, len(rows), SEGMENT_ROWS):
        await bench.writer.store(bench.segment(stream, rows[begin : begin + SEGMENT_ROWS]))
    await bench.clickhouse.execute("OPTIMIZE TABLE market.ticks FINAL")
    size = (await bench.clickhouse.select(_BYTES_SQL, _BYTES))[0]
    return day.bytes_per_tick(float(size["bytes"]))


async def _inserts(bench: Bench) -> dict[str, float | None]:
    """The writer and the bare engine by turns; wall time, for both wait for the same disk."""
    written, bare = await bench.stream("WRITTEN"), await bench.stream("BARE")
    took: dict[str, list[float]] = {"ours": [], "bare": []}
    for number in range(5 * bench.factor):
        rows = generated(number * SEGMENT_ROWS, SEGMENT_ROWS)
        segment = bench.segment(written, rows)
        began = time.perf_counter()
        await bench.writer.store(segment)
        took["ours"].append(time.perf_counter() - began)
        other = bench.segment(bare, rows)
        began = time.perf_counter()
        pieces = new_pieces(other.records, dict.fromkeys(other.streams, SequenceRanges()))
        await bench.store.insert(pieces, label=f"bench:{number}")
        took["bare"].append(time.perf_counter() - began)
    per_s = {name: SEGMENT_ROWS / statistics.median(each) for name, each in took.items()}
    return {
        "store.insert_rows_per_s": per_s["ours"],
        "store.insert_floor_rows_per_s": per_s["bare"],
        "store.insert_ratio": per_s["ours"] / per_s["bare"],
    }


async def _analytics(bench: Bench) -> dict[str, float | None]:
    """Hours of ten million ticks: from the bars that are kept, and from the ticks themselves."""
    stream = await bench.stream("MANY")
    days: set[int] = set()
    for first in range(0, ANALYSED_ROWS, LARGE_SEGMENT_ROWS):
        rows = generated(first, LARGE_SEGMENT_ROWS)
        await bench.writer.store(bench.segment(stream, rows))
        days |= set((rows["event_ms"] // DAY_MS).tolist())
    began = time.perf_counter()
    for day in sorted(days):
        span = day * DAY_S, (day + 1) * DAY_S
        await bench.bars.make(TENANT, [stream], span, version=1)
    making_s = time.perf_counter() - began
    asked = BarsQuestion(
        tenant=TENANT,
        streams=[stream],
        period=Period.H1,
        from_s=0,
        to_s=max(days) * DAY_S + DAY_S,
        limit=10_000,
        dirty=(),
    )
    took: dict[str, list[float]] = {"bars": [], "ticks": []}
    for _ in range(QUESTIONS):
        began = time.perf_counter()
        bars = await bench.bars.page(asked)
        took["bars"].append((time.perf_counter() - began) * 1_000)
        began = time.perf_counter()
        hours = await bench.clickhouse.select(
            _HOURS_SQL, _HOURS, {"tenant": TENANT, "stream": stream}, of=TENANT
        )
        took["ticks"].append((time.perf_counter() - began) * 1_000)
        assert int(bars["ticks"].sum()) == int(hours["ticks"].sum()) == ANALYSED_ROWS  # noqa: S101
    return {
        "store.analytics_10m_p50_ms": statistics.median(took["bars"]),
        "store.analytics_10m_floor_p50_ms": statistics.median(took["ticks"]),
        "store.bars_made_from_ticks_per_s": ANALYSED_ROWS / making_s,
    }


async def _compared(
    name: str,
    ours: Callable[[int], Awaitable[None]],
    bare: Callable[[int], Awaitable[None]],
    count: int,
) -> dict[str, float | None]:
    """Percentiles of the time of one call after the other, both by turns, in milliseconds."""
    samples: dict[str, list[float]] = {"ours": [], "bare": []}
    for number in range(count):
        for who, call in (("ours", ours), ("bare", bare)):
            began = time.perf_counter_ns()
            await call(number)
            samples[who].append((time.perf_counter_ns() - began) / 1e6)
    cuts = {who: statistics.quantiles(each, n=100) for who, each in samples.items()}
    return {
        f"store.{name}_p50_ms": cuts["ours"][49],
        f"store.{name}_p99_ms": cuts["ours"][98],
        f"store.{name}_floor_p50_ms": cuts["bare"][49],
        f"store.{name}_ratio": cuts["ours"][49] / cuts["bare"][49],
    }


def generated(first: int, number: int) -> TickArray:
    """A seeded walk, seven ticks a second: the same rows whenever it is asked for."""
    chance = np.random.default_rng(first)
    rows = np.zeros(number, TICK_DTYPE)
    rows["event_ms"] = BEGAN_MS + (first + np.arange(number)) * 1_000 // 7
    rows["bid"] = 1_284_000 + np.cumsum(chance.integers(-8, 9, number))
    rows["ask"] = rows["bid"] + 300 + chance.integers(0, 60, number)
    rows["flags"] = 6
    return rows
