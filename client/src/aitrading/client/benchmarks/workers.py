"""The workers of a terminal: what a call through one costs, and how many there are when volume steps.

The twin serves each order in 90 ms, so fifty a second keep four and a half connections busy. The
floor of a call is the same call on the same twin without a worker between.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

from aitrading.client.terminal.calls import Lane, call
from aitrading.client.terminal.sim.process.remote import RemoteTerminal
from aitrading.client.testing.desk import Desk, open_desk
from aitrading.core.infrastructure.lifecycle import TaskSet
from aitrading.core.kit.clock import NS_PER_MS, NS_PER_S, Clock

SERVICE_S: Final = 0.09
CALLS: Final = 300
SYMBOLS: Final = ("EURUSD", "GBPUSD", "USDJPY", "XAUUSD")
ORDER: Final = {"action": 1, "volume": 0.01, "type": 0, "type_filling": 0}
KEYS: Final = 20
PROBE: Final = call("symbol_info_tick", "EURUSD")


@dataclass(frozen=True, kw_only=True)
class Step:
    """So many orders a second for so long."""

    per_s: int
    seconds: int


STEPS: Final = (Step(per_s=1, seconds=4), Step(per_s=50, seconds=14), Step(per_s=1, seconds=30))


@dataclass(kw_only=True)
class WorkersReport:
    """Figures, and the number of workers at each second with the volume of that second."""

    figures: dict[str, float] = field(default_factory=dict)
    series: list[tuple[int, int, int]] = field(default_factory=list)


async def measure_workers(clock: Clock, steps: tuple[Step, ...] = STEPS) -> WorkersReport:
    """Run it all: a little less than a minute."""
    report = WorkersReport()
    with TemporaryDirectory(prefix="workers-") as folder:
        async with open_desk(Path(folder), shrink_after_s=3.0) as desk:
            await _trips(desk, Path(folder), clock, report)
            desk.inject(kind="slow_call", call="order_send", probability=1.0, duration_s=SERVICE_S)
            await _steps(desk, clock, steps, report)
    return report


async def _trips(desk: Desk, folder: Path, clock: Clock, report: WorkersReport) -> None:
    direct = RemoteTerminal(folder / "twin.json")
    await asyncio.to_thread(direct.initialize)

    async def without_worker() -> object:
        return await asyncio.to_thread(direct.symbol_info_tick, "EURUSD")

    floor_us = await _median_us(clock, without_worker)
    trip_us = await _median_us(clock, lambda: desk.pool.ask(PROBE))
    direct.shutdown()
    [pid] = desk.pool.pids
    report.figures |= {
        "workers.trip_us": trip_us,
        "workers.floor_trip_us": floor_us,
        "workers.trip_ratio": round(trip_us / floor_us, 2),
        "workers.pss_mb": _pss_mb(pid),
    }


async def _median_us(clock: Clock, ask: Callable[[], Awaitable[object]]) -> float:
    took: list[float] = []
    for _ in range(CALLS):
        began_ns = clock.monotonic_ns()
        await ask()
        took.append((clock.monotonic_ns() - began_ns) / 1_000)
    return round(median(took), 1)


async def _steps(desk: Desk, clock: Clock, steps: tuple[Step, ...], report: WorkersReport) -> None:
    took_ms: list[float] = []
    tasks = TaskSet("orders")

    async def send(number: int) -> None:
        request = ORDER | {"symbol": SYMBOLS[number % len(SYMBOLS)], "magic": number}
        began_ns = clock.monotonic_ns()
        await desk.pool.ask(call("order_send", request), lane=Lane.ORDERS, key=f"{number % KEYS}")
        took_ms.append((clock.monotonic_ns() - began_ns) / NS_PER_MS - SERVICE_S * 1_000)

    sent, next_ns = 0, clock.monotonic_ns()
    for step in steps:
        for second in range(step.seconds * step.per_s):
            tasks.start(send(sent), name=f"order-{sent}")
            sent += 1
            next_ns += NS_PER_S // step.per_s
            await clock.sleep(max(0.0, (next_ns - clock.monotonic_ns()) / NS_PER_S))
            if (second + 1) % step.per_s == 0:
                report.series.append((len(report.series) + 1, step.per_s, desk.pool.workers))
    while tasks.statistics().running:
        await clock.sleep(0.05)
    took_ms.sort()
    counts = [workers for _, _, workers in report.series]
    report.figures |= {
        "workers.most": float(max(counts)),
        "workers.at_the_end": float(counts[-1]),
        "workers.orders": float(len(took_ms)),
        "workers.orders_failed": float(sent - len(took_ms)),
        "workers.order_overhead_p50_ms": round(median(took_ms), 2),
        "workers.order_overhead_max_ms": round(took_ms[-1], 2),
    }


def _pss_mb(pid: int) -> float:
    """Proportional set size; 0 where the system does not tell."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0.0
    return round(int(text.split("Pss:")[1].split()[0]) / 1024, 1)
