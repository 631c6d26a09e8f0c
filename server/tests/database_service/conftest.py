"""The database service's parts over real engines, without its HTTP."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import numpy as np
import pytest

from aitrading.core.domain.market import TICK_DTYPE, TickArray
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.health import HealthRegistry
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.resilience import ResilienceRegistry
from aitrading.core.kit.clock import Clock, SystemClock
from aitrading.core.kit.ids import TenantId
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.security.db_security_manager import Store, accept_url
from aitrading.core.testing.file_keys import some_file_keys
from aitrading.core.testing.segments import ingest_payload, sealed_segment
from aitrading.server.database_service.bars.port import BarStore
from aitrading.server.database_service.clickhouse.embedded import (
    EmbeddedClickHouse,
    EngineLimits,
)
from aitrading.server.database_service.clickhouse.port import ClickHouseEngine
from aitrading.server.database_service.clickhouse.schema import ClickHouseSchema
from aitrading.server.database_service.clickhouse.served import ServedClickHouse, ServerLimits
from aitrading.server.database_service.guards import Guards
from aitrading.server.database_service.postgres_schema import migrations
from aitrading.server.database_service.settings import GuardSettings
from aitrading.server.database_service.ticks.intake import SegmentIntake
from aitrading.server.database_service.ticks.port import TickStore
from aitrading.server.database_service.ticks.quarantine import Quarantine
from aitrading.server.database_service.ticks.reader import TickReader
from aitrading.server.database_service.ticks.streams import StreamBook
from aitrading.server.database_service.ticks.writer import TickWriter
from aitrading.server.database_service.time_series import make_bar_store, make_tick_store
from aitrading.server.engines.shared import PostgresServer
from aitrading.server.kit.bundle import PostgresAccess
from aitrading.server.kit.ingest_api import OpenStreams, StreamOpening, segment_name
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.store_settings import StoreSettings
from aitrading.server.testing.clickhouse_front import running_clickhouse_front
from aitrading.server.testing.personal_data import runner_for
from aitrading.server.testing.postgres15 import (
    Postgres15,
    postgres15_missing,
    running_postgres15,
)
from aitrading.server.testing.weaviate import RunningWeaviate, running_weaviate

SPACE = UUID(int=4711)
COUNT_LAYOUT = np.dtype([("rows", "<u8"), ("distinct", "<u8"), ("low", "<u8"), ("high", "<u8")])
COUNT_SQL = """
SELECT count() AS rows, uniqExact(sequence), min(sequence), max(sequence)
  FROM market.ticks WHERE tenant = {tenant:UUID} AND stream = {stream:UUID}
"""

POSTGRES_COUNT_SQL = """
SELECT count(*), count(DISTINCT sequence), coalesce(min(sequence), 0), coalesce(max(sequence), 0)
  FROM market.ticks WHERE stream_id = $1
"""
EVERY_STORE = [
    "clickhouse",
    pytest.param("served", marks=pytest.mark.servers),
    "postgres",
    pytest.param(
        "postgres15",
        marks=[
            pytest.mark.servers,
            pytest.mark.xdist_group("postgres-15"),
            pytest.mark.skipif(bool(postgres15_missing()), reason=postgres15_missing()),
        ],
    ),
]
"""Where ticks and bars can be kept; what is promised of them is promised of each."""


def rows_of(first: int, number: int, *, bid: int = 108_345, ask: int = 108_351) -> TickArray:
    """Ticks one second apart; row n of the day is the same whoever sends it."""
    rows = np.zeros(number, TICK_DTYPE)
    sequences = np.arange(first, first + number)
    rows["event_ms"] = 1_700_000_000_000 + sequences * 1_000
    rows["bid"], rows["ask"], rows["flags"] = bid + sequences % 7, ask + sequences % 7, 6
    return rows


@dataclass
class World:
    """Everything of one test: the engines, the parts under test, and short ways to use them."""

    postgres: Any
    """The server itself: a PostgresServer or a Postgres15."""
    alone: bool
    """Whether PostgreSQL keeps ticks and bars too."""
    home: bool
    """Whether these are the engines that come with the platform; random tests are longest there."""
    pool: PostgresPool
    clickhouse: ClickHouseEngine
    guards: Guards
    store: TickStore
    bars: BarStore
    writer: TickWriter
    reader: TickReader
    book: StreamBook
    intake: SegmentIntake
    errors: ErrorHandler
    health: HealthRegistry
    metrics: Metrics
    folder: Path
    spool: UUID
    numbers: "count[int]" = field(default_factory=lambda: count(1))

    async def open(self, tenant: TenantId, symbol: str = "EURUSD", *, digits: int = 5) -> UUID:
        opening = StreamOpening(broker="Demo", login=7, symbol=symbol, epoch=1, digits=digits)
        request = OpenStreams(tenant=tenant, device=uuid5(tenant, "device"), streams=(opening,))
        return (await self.book.open(request)).marks[0].stream

    def segment(self, *payloads: bytes) -> tuple[str, bytes]:
        number = next(self.numbers)
        return segment_name(self.spool, number), sealed_segment(self.spool, number, payloads)

    async def send(self, tenant: TenantId, stream: UUID, first: int, number: int) -> int:
        """Store a fresh segment of one batch; gives how many rows were new."""
        payload = ingest_payload(
            rows_of(first, number), tenant=tenant, stream=stream, first_sequence=first
        )
        _, outcome = await self.intake.take(*self.segment(payload))
        return outcome.inserted

    async def counts(self, tenant: TenantId, stream: UUID) -> tuple[int, int, int, int]:
        """Rows, distinct sequences, lowest and highest sequence in the store of ticks."""
        if self.alone:
            async with self.pool.tenant_read(tenant) as tx:
                return tuple((await tx.fetch(POSTGRES_COUNT_SQL, stream))[0].values())
        rows = await self.clickhouse.select(
            COUNT_SQL,
            COUNT_LAYOUT,
            {"tenant": tenant, "stream": stream},
            of=tenant,
            after_writes=True,
        )
        row = rows[0]
        return int(row["rows"]), int(row["distinct"]), int(row["low"]), int(row["high"])


@pytest.fixture(scope="session")
def postgres15() -> Iterator[Postgres15]:
    """Debian's PostgreSQL over TLS, with every migration of this release."""
    with running_postgres15() as server:
        asyncio.run(runner_for(server.access("migrator")).apply())
        yield server


@pytest.fixture(scope="session")
def weaviate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningWeaviate]:
    """One server for all tests that name it; each works with tenants of its own."""
    with running_weaviate(tmp_path_factory.mktemp("weaviate")) as server:
        yield server


WorldFactory = Callable[..., AbstractAsyncContextManager[World]]


@asynccontextmanager
async def open_world(
    postgres: PostgresServer,
    folder: Path,
    *,
    clock: Clock | None = None,
    settings: GuardSettings | None = None,
    access: Callable[[str], PostgresAccess] | None = None,
    read_timeout_s: int = 30,
    alone: bool = False,
    served: bool = False,
) -> AsyncIterator[World]:
    clock = clock or SystemClock()
    resilience, metrics = ResilienceRegistry(), Metrics()
    errors = ErrorHandler(
        clock=clock, randomness=SystemRandomness(), metrics=metrics, resilience=resilience
    )
    pool = PostgresPool((access or postgres.access)("database"), application="test")
    stack = AsyncExitStack()
    clickhouse = clickhouse_of(stack, folder / "clickhouse", read_timeout_s, served=served)
    guards = Guards(settings or GuardSettings(), clock, errors)
    stores = StoreSettings(postgres_alone=alone)
    store = make_tick_store(stores, clickhouse, pool)
    writer = TickWriter(pool, store, guards)
    quarantine = Quarantine(
        folder / "quarantine", some_file_keys(), limit_bytes=1 << 20, clock=clock
    )
    await pool.start()
    try:
        if not alone:
            await clickhouse.start()
            await ClickHouseSchema(clickhouse, migrations("clickhouse")).apply()
        yield World(
            postgres=postgres,
            alone=alone,
            home=not (served or isinstance(postgres, Postgres15)),
            pool=pool,
            clickhouse=clickhouse,
            guards=guards,
            store=store,
            bars=make_bar_store(stores, clickhouse, pool),
            writer=writer,
            reader=TickReader(pool, store, guards),
            book=StreamBook(pool, store, guards),
            intake=SegmentIntake(writer, quarantine, errors, metrics),
            errors=errors,
            health=HealthRegistry(
                service="database-service",
                instance="test",
                version="0",
                clock=clock,
                resilience=resilience,
                errors=errors,
            ),
            metrics=metrics,
            folder=folder,
            spool=uuid5(SPACE, str(folder)),
        )
    finally:
        await clickhouse.stop()
        await pool.stop()
        await stack.aclose()


def clickhouse_of(
    stack: AsyncExitStack, folder: Path, read_timeout_s: int, *, served: bool
) -> ClickHouseEngine:
    """The engine in this process, or behind HTTPS."""
    if not served:
        return EmbeddedClickHouse(folder, limits=EngineLimits(read_timeout_s=read_timeout_s))
    front = stack.enter_context(running_clickhouse_front(folder))
    limits = ServerLimits(read_timeout_s=read_timeout_s)
    return ServedClickHouse(accept_url(Store.CLICKHOUSE, front.url), limits=limits)


@pytest.fixture
def world(postgres: PostgresServer, tmp_path: Path) -> WorldFactory:
    """Opens a world over the shared PostgreSQL and a ClickHouse folder of this test alone."""

    def factory(**options: object) -> AbstractAsyncContextManager[World]:
        return open_world(postgres, tmp_path, **options)

    return factory


@pytest.fixture(params=EVERY_STORE)
def every_world(request: pytest.FixtureRequest, tmp_path: Path) -> WorldFactory:
    """The same over each store in turn."""
    server = request.getfixturevalue("postgres15" if request.param == "postgres15" else "postgres")
    place = {"alone": request.param.startswith("postgres"), "served": request.param == "served"}

    def factory(**options: object) -> AbstractAsyncContextManager[World]:
        return open_world(server, tmp_path, **place, **options)

    return factory


@pytest.fixture
def tenants(request: pytest.FixtureRequest) -> tuple[TenantId, TenantId]:
    """Two tenants nobody else uses."""
    name = request.node.nodeid
    return TenantId(uuid5(SPACE, f"{name}/a")), TenantId(uuid5(SPACE, f"{name}/b"))


@pytest.fixture
def payload() -> Callable[..., bytes]:
    """Makes the ingest record of consecutive ticks."""

    def make(tenant: TenantId, stream: UUID, first: int, number: int, **header: int) -> bytes:
        rows = rows_of(first, number)
        return ingest_payload(rows, tenant=tenant, stream=stream, first_sequence=first, **header)

    return make


@pytest.fixture
def migrate_access() -> Callable[[PostgresAccess], Awaitable[object]]:
    """Applies the migrations to a PostgreSQL of the test's own."""

    def migrate(access: PostgresAccess) -> Awaitable[object]:
        return runner_for(access).apply()

    return migrate
