"""The benchmark measures what it says, on a small volume."""

from aitrading.client.benchmarks.buffers import DIGITS, SIZES, Pool, measure_buffers, some_ticks
from aitrading.client.benchmarks.workers import Step, measure_workers
from aitrading.client.metatrader_connector.rows import to_rows
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


@async_test
async def test_the_pool_that_is_measured_does_what_the_client_does() -> None:
    pool = Pool(max(SIZES))
    for size in SIZES:  # the shorter ones first and last: nothing of an earlier answer shows
        for count in (size, 1):
            ticks = some_ticks(count)
            expected = to_rows(ticks, DIGITS).rows
            assert pool.to_rows(ticks, DIGITS).tobytes() == expected.tobytes()
    figures = await measure_buffers(SystemClock(), turns=2, disk_turns=2)
    for size in SIZES:
        assert figures[f"buffers.{size}.fresh_peak_bytes"] > 0
        assert figures[f"buffers.{size}.to_disk_us"] > figures[f"buffers.{size}.fresh_us"] > 0
