"""What a pool of arrays made beforehand would save on a tick's way from the terminal to the disk.

The conversion of an answer is where the client makes arrays: it is done as the client does it, and
into arrays of a pool, taking turns. The whole way, to the disk, shows what part of it that is.
"""

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from aitrading.client.metatrader_connector.journal import JournalIdentity, TickJournal
from aitrading.client.metatrader_connector.journal_records import Taken
from aitrading.client.metatrader_connector.rows import to_rows
from aitrading.client.terminal.api.arrays import TICKS_DTYPE, TickRows
from aitrading.core.domain.market import TICK_DTYPE, TickArray
from aitrading.core.domain.price import FLOAT_NOISE, POINTS_MAX
from aitrading.core.infrastructure.spool import SpoolLimits
from aitrading.core.kit.clock import Clock
from aitrading.core.kit.ids import DeviceId, SystemIdFactory, TenantId
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.testing.file_keys import some_file_keys

NS_PER_US: Final = 1_000
SIZES: Final = (1, 40, 2_000)
"""Ticks of one answer: a quiet symbol's, a busy one's, and a full batch."""
TURNS: Final = 200
DISK_TURNS: Final = 50
DIGITS: Final = 5
_SIDES: Final = ("bid", "ask", "last")


class Pool:
    """Arrays for the longest answer, used again for each; what it gave before is overwritten."""

    def __init__(self, ticks_max: int) -> None:
        self._rows = np.zeros(ticks_max, TICK_DTYPE)
        self._scaled, self._points = np.empty(ticks_max), np.empty(ticks_max)
        self._good, self._small = np.empty(ticks_max, np.bool_), np.empty(ticks_max, np.bool_)

    def to_rows(self, ticks: TickRows, digits: int) -> TickArray:
        """What `rows.to_rows` gives."""
        count = len(ticks)
        rows = self._rows[:count]
        rows["event_ms"] = ticks["time_msc"]
        rows["flags"] = ticks["flags"] & np.uint32(0xFFFF)
        for side in _SIDES:
            rows[side] = self._points_of(ticks[side], digits, count)
        return rows

    def _points_of(
        self, prices: NDArray[np.float64], digits: int, count: int
    ) -> NDArray[np.float64]:
        scaled, points = self._scaled[:count], self._points[:count]
        good, small = self._good[:count], self._small[:count]
        np.multiply(prices, 10.0**digits, out=scaled)
        with np.errstate(invalid="ignore"):
            np.rint(scaled, out=points)
            np.subtract(scaled, points, out=scaled)
            np.less_equal(np.abs(scaled, out=scaled), FLOAT_NOISE, out=good)
            np.less_equal(np.abs(points, out=scaled), POINTS_MAX, out=small)
        np.logical_and(good, small, out=good)
        points[~good] = 0
        return points


async def measure_buffers(
    clock: Clock, turns: int = TURNS, disk_turns: int = DISK_TURNS
) -> dict[str, float]:
    """Microseconds of one answer, made afresh and from a pool; what it allocates; its way to the disk."""
    figures: dict[str, float] = {}
    for size in SIZES:
        ticks, pool = some_ticks(size), Pool(size)
        ways = {
            "fresh": lambda ticks=ticks: to_rows(ticks, DIGITS).rows,
            "pooled": lambda ticks=ticks, pool=pool: pool.to_rows(ticks, DIGITS),
        }
        took = _by_turns(ways, clock, turns)
        figures |= {f"buffers.{size}.{name}_us": took[name] for name in ways}
        for name, way in ways.items():
            figures[f"buffers.{size}.{name}_peak_bytes"] = _peak_bytes(way)
        disk_us = await _to_disk(ticks, clock, disk_turns)
        saved_us = took["fresh"] - took["pooled"]
        figures[f"buffers.{size}.to_disk_us"] = disk_us
        figures[f"buffers.{size}.saved_percent"] = round(100 * saved_us / disk_us, 2)
    return figures


def some_ticks(count: int) -> TickRows:
    """An answer of the terminal; the last price is one that no digits express."""
    ticks = np.zeros(count, TICKS_DTYPE)
    number = np.arange(count)
    ticks["time_msc"] = 1_700_000_000_000 + number
    ticks["bid"] = np.round(1.1 + number * 1e-5, DIGITS)
    ticks["ask"] = np.round(1.1001 + number * 1e-5, DIGITS)
    ticks["last"][-1] = np.nan
    ticks["flags"] = 6
    return ticks


def _by_turns(ways: dict[str, Callable[[], Any]], clock: Clock, turns: int) -> dict[str, float]:
    """The median of each, one after the other, so that whatever else runs hurts both."""
    took: dict[str, list[int]] = {name: [] for name in ways}
    for _ in range(turns):
        for name, way in ways.items():
            began_ns = clock.monotonic_ns()
            for _ in range(10):
                way()
            took[name].append(clock.monotonic_ns() - began_ns)
    return {name: round(median(each) / 10 / NS_PER_US, 2) for name, each in took.items()}


def _peak_bytes(way: Callable[[], Any]) -> float:
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        kept = way()
        _, peak = tracemalloc.get_traced_memory()
        del kept
    finally:
        tracemalloc.stop()
    return float(peak - before)


async def _to_disk(ticks: TickRows, clock: Clock, turns: int) -> float:
    """The median time from the terminal's answer until it is durable in the journal."""
    took: list[int] = []
    with TemporaryDirectory(prefix="buffers-") as folder:
        journal = await TickJournal.open(
            Path(folder),
            identity=JournalIdentity(tenant=TenantId(UUID(int=1)), device=DeviceId(UUID(int=2))),
            limits=SpoolLimits(),
            clock=clock,
            ids=SystemIdFactory(clock, SystemRandomness()),
            keys=some_file_keys(),
        )
        try:
            stream = await journal.open_stream(
                broker="bench", login=1, symbol="EURUSD", digits=DIGITS, second=1_700_000_000
            )
            for _ in range(turns):
                began_ns = clock.monotonic_ns()
                rows = to_rows(ticks, DIGITS).rows
                part = Taken(stream=stream, rows=rows, receive_ns=began_ns, broker_offset_s=0)
                await journal.append([part])
                took.append(clock.monotonic_ns() - began_ns)
        finally:
            await journal.close()
    return round(median(took) / NS_PER_US, 2)
