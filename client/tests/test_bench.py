"""The benchmark measures what it says, on a small volume."""

from aitrading.client.benchmarks.workers import Step, measure_workers
from aitrading.core.kit.clock import SystemClock
from aitrading.core.testing.async_test import async_test


@async_test
async def test_every_order_of_the_benchmark_is_done_and_each_second_told() -> None:
    steps = (Step(per_s=2, seconds=1), Step(per_s=6, seconds=1))
    report = await measure_workers(SystemClock(), steps)
    assert [per_s for _, per_s, _ in report.series] == [2, 6]
    assert report.figures["workers.orders"] == 8
    assert report.figures["workers.orders_failed"] == 0
    assert report.figures["workers.trip_us"] > 0
    assert report.figures["workers.pss_mb"] > 0
