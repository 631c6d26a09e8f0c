"""What the history of metrics costs: a round of everybody, and what is kept of a day.

Six processes with the mixture of metrics of the demo, read and stored as the database service does,
into the embedded ClickHouse and into PostgreSQL. `round_cpu_ms` is processor time of this process,
the engine's threads included; PostgreSQL works in others, so its rounds are told in time.
"""

import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import numpy as np
from typing_extensions import override

from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.health.readings import PROCESS_INFO, PROCESS_UPTIME
from aitrading.core.infrastructure.metrics import Metric, MetricKind, Metrics
from aitrading.core.infrastructure.resilience import ResilienceRegistry
from aitrading.core.kit.clock import NS_PER_S, SystemClock
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.server.database_service.clickhouse.embedded import EmbeddedClickHouse
from aitrading.server.database_service.clickhouse.schema import ClickHouseSchema
from aitrading.server.database_service.guards import Guards
from aitrading.server.database_service.metrics_history.exposition import TextReader
from aitrading.server.database_service.metrics_history.keeper import HistoryKeeper
from aitrading.server.database_service.metrics_history.place import (
    make_catalogue,
    make_history_place,
)
from aitrading.server.database_service.metrics_history.question import MetricQuestion
from aitrading.server.database_service.metrics_history.reader import HistoryReader
from aitrading.server.database_service.metrics_history.settings import HistorySettings
from aitrading.server.database_service.metrics_history.sources import Heard, Sources
from aitrading.server.database_service.postgres_schema import migrations
from aitrading.server.database_service.settings import GuardSettings
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.store_settings import StoreSettings
from aitrading.server.testing.engines import running_postgres
from aitrading.server.testing.personal_data import runner_for

SERVICES: Final = tuple(f"service-{number}" for number in range(6))
SETTINGS: Final = HistorySettings()
ROUNDS: Final = 240
LONG_ROUNDS: Final = 1_920
ROUNDS_PER_DAY: Final = 86_400 // SETTINGS.sample_s
LEVELS: Final = 45
MOVING_LEVELS: Final = 12
TABLES: Final = ("metric_points", "metric_points_5m", "metric_points_1h")
_MERGE: Final = tuple(f"OPTIMIZE TABLE market.{table} FINAL" for table in TABLES)
COUNTED: Final = Metric(
    name="bench_counted_total", kind=MetricKind.COUNTER, help="x", labels=("route",)
)
LEVEL: Final = Metric(name="bench_level", kind=MetricKind.GAUGE, help="x", labels=("part",))
TOOK: Final = Metric(name="bench_took_s", kind=MetricKind.HISTOGRAM, help="x", labels=("route",))
_BYTES: Final = np.dtype([("name", "S32"), ("bytes", "<u8")])
_SIZES: Final = """
SELECT toFixedString(table, 32) AS name, sum(bytes_on_disk) AS bytes FROM system.parts
 WHERE active AND database = 'market' AND startsWith(table, 'metric_points') GROUP BY table
"""
_SIZE: Final = "SELECT pg_total_relation_size($1::text::regclass)"
REASONS: Final = {
    "history.postgres_round_cpu_ms": "PostgreSQL works in processes of its own",
}
Figures = dict[str, float | None]


async def run(*, long: bool = False) -> Figures:
    """Every figure of both stores."""
    rounds = LONG_ROUNDS if long else ROUNDS
    with tempfile.TemporaryDirectory(prefix="ait-history-") as name:
        folder = Path(name)
        async with running_postgres(folder) as engine:
            await runner_for(engine.access("migrator"), "bench").apply()
            async with _pool(PostgresPool(engine.access("database"), application="bench")) as pool:
                figures = await _clickhouse(folder / "clickhouse", pool, rounds)
                return figures | await _postgres(pool, rounds)


class _Processes(Sources):
    """Six processes whose numbers move as those of the demo do: most of them rarely."""

    def __init__(self) -> None:
        self._reader = TextReader()
        self._processes = {service: Metrics() for service in SERVICES}
        self._round = 0

    @override
    async def hear(self) -> list[Heard]:
        self._round += 1
        return [
            Heard(service, self._reader.read(service, self._text(service, metrics)))
            for service, metrics in self._processes.items()
        ]

    def _text(self, service: str, metrics: Metrics) -> bytes:
        metrics.set(PROCESS_INFO, 1, service=service, instance="1", version="1")
        metrics.set(PROCESS_UPTIME, self._round * SETTINGS.sample_s)
        for number in range(LEVELS):
            moved = self._round if number < MOVING_LEVELS else number
            metrics.set(LEVEL, moved * 1.7 % 13, part=f"part-{number}")
        for number in range(9):
            if self._round % (number + 1) == 0:
                metrics.increment(COUNTED, number, route=f"/{number}")
        for number in range(3):
            metrics.observe(TOOK, self._round % 7 / 100, route=f"/{number}")
        return metrics.render()


async def _clickhouse(folder: Path, pool: PostgresPool, rounds: int) -> Figures:
    engine = EmbeddedClickHouse(folder)
    await engine.start()
    try:
        await ClickHouseSchema(engine, migrations("clickhouse")).apply()
        figures = await _measure(pool, engine, rounds, alone=False)
        for merge in _MERGE:
            await engine.execute(merge)
        sizes = await engine.select(_SIZES, _BYTES, after_writes=True)
        found = {bytes(row["name"]).decode(): int(row["bytes"]) for row in sizes}
    finally:
        await engine.stop()
    return figures | _per_day("clickhouse", [found[table] for table in TABLES], figures, rounds)


async def _postgres(pool: PostgresPool, rounds: int) -> Figures:
    figures = await _measure(pool, EmbeddedClickHouse(Path()), rounds, alone=True)
    async with pool.platform_tx() as tx:
        sizes = [int(await tx.fetch_value(_SIZE, f"app.{table}")) for table in TABLES]
    kept = figures | _per_day("postgres", sizes, figures, rounds)
    return {name: value for name, value in kept.items() if name != "history.series"}


async def _measure(
    pool: PostgresPool, clickhouse: EmbeddedClickHouse, rounds: int, *, alone: bool
) -> Figures:
    clock = SystemClock()
    errors = ErrorHandler(
        clock=clock,
        randomness=SystemRandomness(),
        metrics=Metrics(),
        resilience=ResilienceRegistry(),
    )
    guards = Guards(GuardSettings(), clock, errors)
    place = make_history_place(StoreSettings(postgres_alone=alone), clickhouse, pool, guards)
    catalogue = make_catalogue(pool, SETTINGS)
    sources = _Processes()
    keeper = HistoryKeeper(place, catalogue, sources, SETTINGS, clock, errors, Metrics())
    now_s = clock.now_ns() // NS_PER_S // SETTINGS.sample_s * SETTINGS.sample_s
    first_s = now_s - rounds * SETTINGS.sample_s
    await keeper.round(first_s)  # makes names, prepares statements
    began_cpu, began = time.process_time(), time.perf_counter()
    for number in range(1, rounds):
        await keeper.round(first_s + number * SETTINGS.sample_s)
    took_cpu, took = time.process_time() - began_cpu, time.perf_counter() - began
    reader = HistoryReader(place, catalogue, guards, SETTINGS, clock)
    asked = MetricQuestion(name=TOOK.name, service=SERVICES[0], from_s=now_s - 3_600)
    began_read = time.perf_counter()
    await reader.history(asked)
    read_ms = (time.perf_counter() - began_read) * 1_000
    store = "postgres" if alone else "clickhouse"
    return {
        "history.series": float(sum(catalogue.size_of(service) for service in SERVICES)),
        f"history.{store}_round_ms": took / (rounds - 1) * 1_000,
        f"history.{store}_round_cpu_ms": None if alone else took_cpu / (rounds - 1) * 1_000,
        f"history.{store}_read_hour_ms": read_ms,
    }


def _per_day(store: str, sizes: Sequence[int], figures: Figures, rounds: int) -> Figures:
    """Bytes of one series and one day in each resolution."""
    series = figures["history.series"] or 1.0
    names = ("samples", "5m", "1h")
    return {
        f"history.{store}_{name}_bytes_per_series_day": size / series * ROUNDS_PER_DAY / rounds
        for name, size in zip(names, sizes, strict=True)
    }


@asynccontextmanager
async def _pool(pool: PostgresPool) -> AsyncGenerator[PostgresPool]:
    await pool.start()
    try:
        yield pool
    finally:
        await pool.stop()
