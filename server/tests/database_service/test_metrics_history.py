"""The history of metrics over the real engine."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.kit.clock import SystemClock
from aitrading.server.database_service.metrics import SAMPLES_DROPPED, TICKS_STORED
from aitrading.server.database_service.metrics_history.sampler import SERVICE, MetricSampler
from aitrading.server.database_service.metrics_history.settings import HistorySettings
from aitrading.server.database_service.metrics_history.steps import steps_of
from aitrading.server.database_service.metrics_history.store import SampleStore
from aitrading.server.kit.store_settings import StoreSettings

World = Callable[..., AbstractAsyncContextManager[Any]]


def sampler_of(here: Any, metrics: Metrics) -> MetricSampler:
    return MetricSampler(
        SampleStore(here.clickhouse),
        here.guards,
        HistorySettings(),
        StoreSettings(),
        SystemClock(),
        here.errors,
        metrics,
    )


@pytest.mark.anyio
async def test_samples_of_a_counter_are_read_back_in_order(world: World) -> None:
    async with world() as here:
        metrics = Metrics()
        sampler = sampler_of(here, metrics)
        for _ in range(3):
            metrics.increment(TICKS_STORED, 100)
            await sampler.sample()
        found = await SampleStore(here.clickhouse).read(SERVICE, TICKS_STORED.name, 0, 1 << 60)
        assert [value for _, value in found] == [100, 200, 300]
        assert found == sorted(found)


@pytest.mark.anyio
async def test_a_store_that_is_away_costs_samples_and_they_are_counted(world: World) -> None:
    async with world(alone=True) as here:  # its ClickHouse was never started
        metrics = Metrics()
        metrics.increment(TICKS_STORED, 100)
        await sampler_of(here, metrics).sample()
        assert metrics.totals()[SAMPLES_DROPPED.name] == 1


def test_a_counter_that_began_again_never_shows_negative_growth() -> None:
    samples = [(0, 10.0), (15_000, 30.0), (60_000, 4.0), (75_000, 9.0)]
    steps = steps_of(samples, 60, counter=True)
    assert [(one.begins_s, one.value, one.grown) for one in steps] == [(0, 30, 20), (60, 9, 9)]
    assert steps_of(samples, 60, counter=False)[0].grown is None
