"""What the database service promises in a fault; only the servers behind it are stand-ins."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from harness.patching import Process, Room, promised_by
from typing_extensions import override

from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import SystemIdFactory, TenantId
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.testing.eventually import eventually
from aitrading.core.testing.file_keys import some_file_keys
from aitrading.core.testing.manual_clock import settle
from aitrading.core.testing.segments import sealed_segment
from aitrading.server.database_service import call_sites as sites
from aitrading.server.database_service.cache.composition import make_cache
from aitrading.server.database_service.cache.quotes import QuoteCache
from aitrading.server.database_service.cache.read_budget import ReadBudget
from aitrading.server.database_service.chain_graph.keeper import ChainKeeper
from aitrading.server.database_service.chain_graph.postgres import PostgresChainGraph
from aitrading.server.database_service.clickhouse.errors import CLICKHOUSE_UNAVAILABLE
from aitrading.server.database_service.guards import Guards
from aitrading.server.database_service.known_errors.index_postgres import PostgresErrorIndex
from aitrading.server.database_service.known_errors.lookup import ErrorLookup
from aitrading.server.database_service.settings import CacheSettings, GuardSettings
from aitrading.server.database_service.ticks.intake import SegmentIntake
from aitrading.server.database_service.ticks.ledger import StreamInfo
from aitrading.server.database_service.ticks.port import Which
from aitrading.server.database_service.ticks.quarantine import Quarantine
from aitrading.server.database_service.ticks.ranges import SequenceRanges
from aitrading.server.database_service.ticks.reader import TickReader, TicksQuestion
from aitrading.server.database_service.ticks.segments import TickSegment, decode_segment
from aitrading.server.database_service.ticks.store import ClickHouseTickStore
from aitrading.server.database_service.ticks.streams import StreamBook
from aitrading.server.database_service.ticks.writer import TickWriter
from aitrading.server.kit.audit_trail import AuditTrail
from aitrading.server.kit.bundle import PostgresAddress, ValkeyAccess
from aitrading.server.kit.connection_pool import ConnectionPool
from aitrading.server.kit.database_errors import DATABASE_CONNECTION_LOST, DATABASE_DEADLOCK
from aitrading.server.kit.ingest_api import segment_name
from aitrading.server.kit.load_meter import StoreWaits
from aitrading.server.kit.pool_reports import POSTGRES_REPLICA, REPLICA_FAILURES, PoolReports
from aitrading.server.kit.postgres_replicas import Replica
from aitrading.server.kit.replay import POSTGRES_REPLAY, Replay
from aitrading.server.kit.store_settings import StoreSettings
from aitrading.server.kit.tenant_settings import TenantSettings
from aitrading.server.kit.valkey import CACHE_UNAVAILABLE, ValkeyClient

TENANT, STREAM, SPOOL = TenantId(UUID(int=1)), UUID(int=2), UUID(int=3)
SETTINGS = GuardSettings(failures=3, reads=1, read_queue=1, write_queue=1)
INFO = StreamInfo(stream=STREAM, symbol="EURUSD", digits=5, stored=SequenceRanges())
QUESTION = TicksQuestion(symbol="EURUSD", stream=None, from_ms=0, to_ms=1, limit=1, after=None)


class DeadPostgres:
    """A pool whose server is gone."""

    def __init__(self) -> None:
        self.calls = 0

    @asynccontextmanager
    async def tenant_tx(self, _: TenantId) -> AsyncIterator[Any]:
        self.calls += 1
        raise DATABASE_CONNECTION_LOST.error(reason="test")
        yield

    @asynccontextmanager
    async def platform_tx(self) -> AsyncIterator[Any]:
        self.calls += 1
        raise DATABASE_CONNECTION_LOST.error(reason="test")
        yield

    tenant_read, platform_read = tenant_tx, platform_tx


class HangingPostgres:
    """A pool whose server accepts every transaction and answers none."""

    def __init__(self) -> None:
        self.entered = 0

    @asynccontextmanager
    async def platform_tx(self) -> AsyncIterator[Any]:
        self.entered += 1
        await asyncio.Event().wait()
        yield

    @asynccontextmanager
    async def tenant_tx(self, _: TenantId) -> AsyncIterator[Any]:
        async with self.platform_tx() as tx:
            yield tx

    tenant_read, platform_read = tenant_tx, platform_tx


class DeadClickHouse:
    """A ClickHouse whose disk is gone."""

    def __init__(self) -> None:
        self.calls = 0

    async def select(self, *_: object, **__: object) -> Any:
        self.calls += 1
        raise CLICKHOUSE_UNAVAILABLE.error(reason="test")


class NoQuotes:
    """A reader of a store without ticks."""

    async def newest_quotes(self, _: TenantId) -> list[Any]:
        return []


def segment() -> TickSegment:
    return decode_segment(segment_name(SPOOL, 1), sealed_segment(SPOOL, 1, ()))


async def codes_of(times: int, call: Callable[[], Awaitable[object]]) -> list[str]:
    """What each of several calls, one after the other, ended with."""
    codes: list[str] = []
    for _ in range(times):
        try:
            await call()
        except AitradingError as exc:
            codes.append(exc.code)
    return codes


@promised_by(sites.POSTGRES_BREAKER)
async def a_dead_postgresql_is_not_asked_any_more(room: Room) -> Process:
    process, pool = Process.make(room.clock), DeadPostgres()
    guards: Any = Guards(SETTINGS, room.clock, process.errors)
    no_ticks: Any = None  # PostgreSQL is asked first
    book: Any = StreamBook(pool, no_ticks, guards)  # type: ignore[arg-type]
    codes = await codes_of(5, lambda: book.marks(TENANT, UUID(int=9)))
    assert codes == ["DATABASE_CONNECTION_LOST"] * 3 + ["BREAKER_OPEN"] * 2
    assert pool.calls == 3
    return process


class WaveringPostgres:
    """A pool whose first transactions meet concurrent ones."""

    def __init__(self, failures: int) -> None:
        self._failures = failures

    @asynccontextmanager
    async def tenant_tx(self, _: TenantId, **__: object) -> AsyncIterator[Any]:
        if self._failures > 0:
            self._failures -= 1
            raise DATABASE_DEADLOCK.error()
        yield None


@promised_by(POSTGRES_REPLAY)
async def a_transaction_that_was_undone_runs_again(room: Room) -> Process:
    process = Process.make(room.clock)
    pool: Any = WaveringPostgres(failures=2)

    async def work(_: Any) -> str:
        return "done"

    assert await Replay(pool, process.errors, ids_of(room)).run(TENANT, work) == "done"
    return process


@promised_by(POSTGRES_REPLICA)
async def a_dead_replica_is_not_asked_any_more(room: Room) -> Process:
    process, attempts = Process.make(room.clock), 0
    server = PostgresAddress(str(room.folder), 1)

    async def connect() -> Any:
        nonlocal attempts
        attempts += 1
        raise ConnectionRefusedError

    reports = PoolReports(
        metrics=process.metrics, errors=process.errors, clock=room.clock, waits=StoreWaits()
    )
    pool = ConnectionPool(connect, least=0, limit=1)
    replica = Replica(server, pool, reports.breaker("database", "replica:1"))
    answers = [await replica.begin("", "0/0", room.patience_s) for _ in range(5)]
    assert answers == [None] * 5
    assert attempts == REPLICA_FAILURES
    return process


@promised_by(sites.CLICKHOUSE_WRITE_BREAKER)
async def a_clickhouse_that_cannot_write_is_not_written_to(room: Room) -> Process:
    process, clickhouse = Process.make(room.clock), DeadClickHouse()
    guards = Guards(SETTINGS, room.clock, process.errors)
    writer = TickWriter(HangingPostgres(), ClickHouseTickStore(clickhouse), guards)  # type: ignore[arg-type]
    known: Any = {(TENANT, STREAM): INFO}
    transaction: Any = None
    codes = await codes_of(5, lambda: writer._store_new(transaction, segment(), known))
    assert codes == ["CLICKHOUSE_UNAVAILABLE"] * 3 + ["BREAKER_OPEN"] * 2
    assert clickhouse.calls == 3
    return process


@promised_by(sites.CLICKHOUSE_READ_BREAKER)
async def a_clickhouse_that_cannot_read_is_not_asked(room: Room) -> Process:
    process, clickhouse = Process.make(room.clock), DeadClickHouse()
    guards = Guards(SETTINGS, room.clock, process.errors)
    reader = TickReader(HangingPostgres(), ClickHouseTickStore(clickhouse), guards)  # type: ignore[arg-type]
    codes = await codes_of(5, lambda: reader._rows(TENANT, QUESTION, [INFO], Which.BELIEVED))
    assert codes == ["CLICKHOUSE_UNAVAILABLE"] * 3 + ["BREAKER_OPEN"] * 2
    assert clickhouse.calls == 3
    return process


@promised_by(sites.VECTORS_BREAKER)
async def a_dead_store_of_vectors_is_not_asked_any_more(room: Room) -> Process:
    process, pool = Process.make(room.clock), DeadPostgres()
    guards = Guards(SETTINGS, room.clock, process.errors)
    dead: Any = pool
    lookup = ErrorLookup(dead, PostgresErrorIndex(dead), guards)
    codes = await codes_of(5, lambda: lookup.similar_to(TENANT, "the disk is full"))
    assert codes == ["DATABASE_CONNECTION_LOST"] * 3 + ["BREAKER_OPEN"] * 2
    assert pool.calls == 3
    return process


@promised_by(sites.GRAPH_BREAKER)
async def a_dead_store_of_the_graph_is_not_asked_any_more(room: Room) -> Process:
    process, pool = Process.make(room.clock), DeadPostgres()
    guards = Guards(SETTINGS, room.clock, process.errors)
    dead: Any = pool
    keeper = ChainKeeper(
        PostgresChainGraph(
            dead, AuditTrail(clock=room.clock, ids=SystemIdFactory(room.clock, SystemRandomness()))
        ),
        guards,
        room.clock,
        process.errors,
    )
    codes = await codes_of(5, lambda: keeper.impact("postgres"))
    assert codes == ["DATABASE_CONNECTION_LOST"] * 3 + ["BREAKER_OPEN"] * 2
    assert pool.calls == 3
    return process


@promised_by(sites.READ_BULKHEAD)
async def questions_beyond_the_room_are_refused_at_once(room: Room) -> Process:
    process, pool = Process.make(room.clock), HangingPostgres()
    guards = Guards(SETTINGS, room.clock, process.errors)
    reader = TickReader(pool, ClickHouseTickStore(DeadClickHouse()), guards)  # type: ignore[arg-type]
    await only_one_runs(pool, lambda: reader.page(TENANT, QUESTION))
    return process


@promised_by(sites.WRITE_BULKHEAD)
async def segments_beyond_the_room_are_refused_at_once(room: Room) -> Process:
    process, pool = Process.make(room.clock), HangingPostgres()
    guards = Guards(SETTINGS, room.clock, process.errors)
    writer = TickWriter(pool, ClickHouseTickStore(DeadClickHouse()), guards)  # type: ignore[arg-type]
    await only_one_runs(pool, lambda: writer.store(segment()))
    return process


async def only_one_runs(pool: HangingPostgres, call: Callable[[], Awaitable[object]]) -> None:
    """Of four calls one runs, one waits, and two are refused."""
    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(codes_of(1, call)) for _ in range(4)]
        await eventually(lambda: pool.entered >= 1, what="the first call")
        await settle()
        refused = [one.result() for one in calls if one.done()]
        for one in calls:
            one.cancel()
    assert (pool.entered, refused) == (1, [["BULKHEAD_FULL"]] * 2)


@promised_by(sites.SEGMENT_ISOLATION)
async def a_damaged_segment_is_refused_unread_the_second_time(room: Room) -> Process:
    process = Process.make(room.clock)
    quarantine = Quarantine(
        room.folder / "quarantine", some_file_keys(), limit_bytes=1 << 20, clock=room.clock
    )
    unused: Any = None
    intake = SegmentIntake(unused, quarantine, process.errors, process.metrics)
    causes: list[Any] = []
    for _ in range(2):
        try:
            await intake.take(segment_name(SPOOL, 1), b"no segment at all")
        except AitradingError as exc:
            causes.append(exc.fields["cause"])
    assert causes == ["SEGMENT_CORRUPT", "ISOLATED"]
    return process


@promised_by(sites.CACHE_DEGRADE)
async def quotes_come_from_the_store_without_the_cache(room: Room) -> Process:
    process = Process.make(room.clock)
    access = ValkeyAccess(
        user="database-service",
        password="unused",  # noqa: S106  # pragma: allowlist secret
        socket=room.folder / "nobody-listens.sock",
    )
    client, reader = ValkeyClient(access), NoQuotes()
    guards = Guards(SETTINGS, room.clock, process.errors)
    cache = make_cache(client, CacheSettings(), StoreSettings(), guards, room.clock, ids_of(room))
    quotes = QuoteCache(cache, reader, process.errors, room.clock)  # type: ignore[arg-type]
    assert (await quotes.last_quotes(TENANT)).source == "store"
    await client.stop()
    return process


class DeadCache(ValkeyClient):
    """A client whose server is gone."""

    def __init__(self) -> None:
        super().__init__(ValkeyAccess(user="database-service", password="unused"))  # noqa: S106  # pragma: allowlist secret
        self.asked = 0

    @override
    async def calls(self, commands: Any) -> Any:
        self.asked += len(commands)
        raise CACHE_UNAVAILABLE.error(reason="test")


def ids_of(room: Room) -> SystemIdFactory:
    return SystemIdFactory(room.clock, SystemRandomness())


@promised_by(sites.CACHE_BREAKER)
async def a_dead_cache_is_not_asked_any_more(room: Room) -> Process:
    process, client = Process.make(room.clock), DeadCache()
    guards = Guards(SETTINGS, room.clock, process.errors)
    cache = make_cache(client, CacheSettings(), StoreSettings(), guards, room.clock, ids_of(room))
    codes = await codes_of(5, lambda: cache.of(TENANT).get("x"))
    assert codes == ["CACHE_UNAVAILABLE"] * 3 + ["BREAKER_OPEN"] * 2
    assert client.asked == 3
    return process


class TwoPages(TenantSettings):
    """Everybody may read two pages a minute."""

    def __init__(self) -> None:
        pass

    @override
    async def of(self, tenant: TenantId, section: type[Any]) -> Any:
        return section(pages_per_minute=2)


@promised_by(sites.READ_BUDGET_DEGRADE)
async def pages_are_counted_without_the_cache(room: Room) -> Process:
    process, ids = Process.make(room.clock), ids_of(room)
    guards = Guards(SETTINGS, room.clock, process.errors)
    cache = make_cache(DeadCache(), CacheSettings(), StoreSettings(), guards, room.clock, ids)
    budget = ReadBudget(cache, TwoPages(), process.errors, room.clock, ids)
    assert await codes_of(3, lambda: budget.spend(TENANT)) == ["READ_BUDGET_SPENT"]
    return process
