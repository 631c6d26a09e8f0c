"""The contract of stores of points: ClickHouse in the process, ClickHouse as a server, PostgreSQL."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import pytest

from aitrading.core.kit.clock import NS_PER_S, SystemClock
from aitrading.core.security.db_security_manager import Store, accept_url
from aitrading.core.testing.async_test import async_test
from aitrading.server.database_service.clickhouse.port import ClickHouse
from aitrading.server.database_service.clickhouse.schema import ClickHouseSchema
from aitrading.server.database_service.clickhouse.served import ServedClickHouse
from aitrading.server.database_service.metrics_history.growth import Point, Reached
from aitrading.server.database_service.metrics_history.port import (
    PointStore,
    Resolution,
    StepsQuestion,
)
from aitrading.server.database_service.metrics_history.store import ClickHousePointStore
from aitrading.server.database_service.metrics_history.store_postgres import PostgresPointStore
from aitrading.server.database_service.postgres_schema import migrations
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.testing.clickhouse_front import running_clickhouse_front

World = Callable[..., AbstractAsyncContextManager[Any]]
HOUR = SystemClock().now_ns() // (3_600 * NS_PER_S) * 3_600 - 7_200
"""A whole one, near enough that no store forgets it at once."""
FAR_S = 1 << 40
NAMES = ("samples", "total", "low", "high", "last")

pytestmark = [
    pytest.mark.integration,
    pytest.mark.parametrize(
        "kind",
        ["embedded", pytest.param("served", marks=pytest.mark.servers), "postgres"],
    ),
]


@asynccontextmanager
async def store_of(kind: str, world: World, folder: Path) -> AsyncIterator[PointStore]:
    if kind == "served":
        with running_clickhouse_front(folder) as front:
            engine = ServedClickHouse(accept_url(Store.CLICKHOUSE, front.url))
            await engine.start()
            try:
                await ClickHouseSchema(engine, migrations("clickhouse")).apply()
                yield ClickHousePointStore(engine)
            finally:
                await engine.stop()
        return
    async with world(alone=kind == "postgres") as here:
        if kind == "postgres":
            await empty(here.pool)
            yield PostgresPointStore(here.pool)
        else:
            yield ClickHousePointStore(here.clickhouse)


async def empty(pool: PostgresPool) -> None:
    """All tests share one PostgreSQL."""
    await PostgresPointStore(pool).forget(FAR_S)


def number_of(request: pytest.FixtureRequest) -> int:
    """A series of this test alone: PostgreSQL is shared."""
    return uuid5(NAMESPACE_OID, request.node.nodeid).int & 0x7FFF_FFFF_FFFF


async def steps(
    store: PointStore, series: int, resolution: Resolution, step_s: int, to_s: int = HOUR + 7_200
) -> list[tuple[Any, ...]]:
    asked = StepsQuestion(
        series=[series],
        resolution=resolution,
        from_s=HOUR - 3_600,
        to_s=to_s,
        step_s=step_s,
        limit=1_000,
    )
    rows = await store.steps(asked)
    return [
        (int(row["part"]), int(row["begins_s"]) - HOUR, *(float(row[name]) for name in NAMES))
        for row in rows
    ]


@async_test
async def test_every_resolution_tells_the_same(
    kind: str, world: World, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    series = number_of(request)
    async with store_of(kind, world, tmp_path) as store:
        moments = (-15, 0, 15, 300, 3_585, 3_600)
        for place, at_s in enumerate(moments):
            amount = float((5, 3, 8, -2, 7, 1)[place])
            points = [
                Point(series, 0, amount, 100.0 + place),
                Point(series + 1, 0, 1.0, 1.0),
            ]
            if at_s >= 300:
                points.append(Point(series, 2, 0.25, 9.5))
            await store.write(HOUR + at_s, points)
        fine = await steps(store, series, Resolution.SAMPLES, 60)
        assert fine[:4] == [
            (0, -60, 1, 5, 5, 5, 100),
            (0, 0, 2, 11, 3, 8, 102),
            (0, 300, 1, -2, -2, -2, 103),
            (0, 3_540, 1, 7, 7, 7, 104),
        ]
        for resolution in (Resolution.SAMPLES, Resolution.FIVE_MINUTES):
            assert await steps(store, series, resolution, 600) == [
                (0, -600, 1, 5, 5, 5, 100),
                (0, 0, 3, 9, -2, 8, 103),
                (0, 3_000, 1, 7, 7, 7, 104),
                (0, 3_600, 1, 1, 1, 1, 105),
                (2, 0, 1, 0.25, 0.25, 0.25, 9.5),
                (2, 3_000, 1, 0.25, 0.25, 0.25, 9.5),
                (2, 3_600, 1, 0.25, 0.25, 0.25, 9.5),
            ]
        for resolution in Resolution:
            assert await steps(store, series, resolution, 3_600, to_s=HOUR + 3_600) == [
                (0, -3_600, 1, 5, 5, 5, 100),
                (0, 0, 4, 16, -2, 8, 104),
                (2, 0, 2, 0.5, 0.25, 0.25, 9.5),
            ]


@async_test
async def test_whatever_comes_when_every_resolution_is_the_sum_of_the_points(
    kind: str, world: World, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Steps that are over and steps that run, with holes of minutes and of hours between them."""
    series, dice = number_of(request), Random(11)  # noqa: S311 - the same numbers every time
    async with store_of(kind, world, tmp_path) as store:
        at_s, written = HOUR - 3_600, list[tuple[int, Point]]()
        for _ in range(50):
            at_s += dice.choice((15, 15, 15, 60, 285, 900, 2_700))
            points = [
                Point(series, part, dice.randint(-9, 9) / 4, float(at_s - HOUR))
                for part in dice.sample((0, 1, 2, -1), dice.randint(1, 3))
            ]
            await store.write(at_s, points)
            written += [(at_s, point) for point in points]
            if dice.random() < 0.3:
                resolution = dice.choice(tuple(Resolution))
                step_s = resolution.value.step_s * dice.choice((1, 2, 3))
                step_s = step_s if resolution is not Resolution.SAMPLES else step_s * 15
                told = await steps(
                    store, series, resolution, step_s, to_s=at_s // 3_600 * 3_600 + 3_600 * 3
                )
                assert told == expected(written, step_s), (resolution, step_s)


def expected(written: "list[tuple[int, Point]]", step_s: int) -> list[tuple[Any, ...]]:
    """What a store must tell of these points, by part and time."""
    steps: dict[tuple[int, int], list[Point]] = {}
    for at_s, point in written:
        steps.setdefault((point.part, at_s // step_s * step_s - HOUR), []).append(point)
    return [
        (
            *(part, begins_s, len(points), sum(each.amount for each in points)),
            min(each.amount for each in points),
            max(each.amount for each in points),
            points[-1].reached,
        )
        for (part, begins_s), points in sorted(steps.items())
    ]


@async_test
async def test_the_store_knows_what_it_holds_and_what_was_reached(
    kind: str, world: World, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    series = number_of(request)
    async with store_of(kind, world, tmp_path) as store:
        assert not await store.holds(series, HOUR)
        await store.write(HOUR, [Point(series, 0, 3.0, 3.0), Point(series, 1, 4.0, 4.0)])
        await store.write(HOUR + 15, [Point(series, 0, 2.0, 5.0)])
        assert await store.holds(series, HOUR)
        assert not await store.holds(series, HOUR + 30)
        reached = await store.reached(HOUR)
        assert reached[series, 0] == Reached(HOUR + 15, 5.0)
        assert reached[series, 1] == Reached(HOUR, 4.0)
        reached = await store.reached(HOUR + 15)
        assert (series, 1) not in reached


@async_test
async def test_each_resolution_is_kept_for_its_own_time(
    kind: str, world: World, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    series = number_of(request)
    async with store_of(kind, world, tmp_path) as store:
        today = SystemClock().now_ns() // (3_600 * NS_PER_S) * 3_600
        for days in (450, 40, 4, 0):
            await store.write(today - days * 86_400, [Point(series, 0, 1.0, 1.0)])
        await store.forget(today + 60)
        await _merge(store)
        kept = {}
        for resolution in Resolution:
            asked = StepsQuestion(
                series=[series],
                resolution=resolution,
                from_s=0,
                to_s=today + 3_600,
                step_s=3_600,
                limit=1_000,
            )
            rows = await store.steps(asked)
            kept[resolution] = sorted((today - int(row["begins_s"])) // 86_400 for row in rows)
        assert kept == {
            Resolution.SAMPLES: [0],
            Resolution.FIVE_MINUTES: [0, 4],
            Resolution.HOURS: [0, 4, 40],
        }


async def _merge(store: PointStore) -> None:
    """Let ClickHouse do now what it does by itself within hours."""
    if isinstance(store, ClickHousePointStore):
        clickhouse: ClickHouse = store._clickhouse
        for name in ("metric_points", "metric_points_5m", "metric_points_1h"):
            await clickhouse.execute(f"OPTIMIZE TABLE market.{name} FINAL")
