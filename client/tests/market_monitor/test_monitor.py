"""The monitor over crashes: what was saved and not yet told is told by the next run, under its id."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from aitrading.client.market_monitor.monitor import MarketMonitor, TickTap
from aitrading.client.market_monitor.open_alerts import OpenAlerts
from aitrading.client.service import SECTIONS
from aitrading.core.domain.market import TICK_DTYPE
from aitrading.core.infrastructure.config_manager import ConfigManager
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.kit.ids import SystemIdFactory
from aitrading.core.protocol.device_notes import AlertNote
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.core.testing.file_keys import some_file_keys
from aitrading.core.testing.manual_clock import ManualClock
from aitrading.core.testing.seeded import SeededRandomness

KEYS = some_file_keys()
RULES = {"market_monitor.pairs": "ODDITY", "market_monitor.thresholds": "* spread>20"}


class Tap(TickTap):
    def __init__(self) -> None:
        self.observers = []


class Desk:
    """One run after the other over one folder; `dies_at` is the note that kills the run."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self.told: list[AlertNote] = []
        self.dies_at = 0
        self.tap = Tap()
        self._kept = OpenAlerts(folder, KEYS)

    async def tell(self, note: AlertNote) -> None:
        self.dies_at -= 1
        if self.dies_at == 0:
            raise ConnectionAbortedError
        self.told.append(note)

    def run(self, settings: dict[str, str]) -> asyncio.Task[None]:
        monitor = MarketMonitor(
            self.tap, ConfigManager.load(SECTIONS, overrides=settings), self.tell, self._kept,
            clock=self.clock, ids=SystemIdFactory(self.clock, SeededRandomness(1)),
            metrics=Metrics(),
        )  # fmt: skip
        return asyncio.get_running_loop().create_task(monitor.run())

    async def until(self, task: asyncio.Task[None], count: int) -> None:
        async def seen() -> bool:
            await self.clock.advance(1)
            return task.done() or len(self.told) >= count

        await eventually(seen)


@async_test
async def test_what_was_saved_and_not_told_is_told_by_the_next_run(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.dies_at = 1
    first = desk.run(RULES)
    await eventually(lambda: desk.tap.observers)
    wide = np.zeros(1, TICK_DTYPE)
    wide["bid"], wide["ask"] = 100, 200
    desk.tap.observers[0]("ODDITY", wide)
    await desk.until(first, 1)
    with pytest.raises(ConnectionAbortedError):
        await first
    assert not desk.told
    second = desk.run(RULES)
    await desk.until(second, 1)
    second.cancel()
    [begun] = desk.told
    assert (begun.symbol, begun.raised) == ("ODDITY", True)
    third = desk.run(RULES)
    await desk.until(third, 2)
    third.cancel()
    assert desk.told == [begun, begun], "the same again: the server knows it by its id"
    desk.dies_at = 2  # its end is not told: nobody watches that symbol any more
    fourth = desk.run({**RULES, "market_monitor.pairs": ""})
    await desk.until(fourth, 4)
    with pytest.raises(ConnectionAbortedError):
        await fourth
    fifth = desk.run({**RULES, "market_monitor.pairs": ""})
    await desk.until(fifth, 5)
    fifth.cancel()
    assert [(one.id, one.raised) for one in desk.told[3:]] == [(begun.id, True), (begun.id, False)]
