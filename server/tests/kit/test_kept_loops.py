"""Each loop that a service keeps goes on after a failure that nobody foresaw."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.kept_loops import (
    KeptLoop,
    Silent,
    assembled,
    faults_of,
    kept_loops,
)
from aitrading.core.testing.manual_clock import ManualClock
from aitrading.server.api_gateway.edge.keeper import EdgeKeeper
from aitrading.server.data_bridge.fanout import FanOut
from aitrading.server.data_bridge.rate_keeper import RateKeeper
from aitrading.server.data_bridge.settings import StreamSettings
from aitrading.server.database_service.log_policy.lifecycle import LogLifecycle
from aitrading.server.database_service.traces.collector import TraceCollector
from aitrading.server.kit.announcer import Announcer
from aitrading.server.kit.denial_reporter import DenialReporter
from aitrading.server.kit.state_announcer import StateAnnouncer

OF_PROCESSES = "_Process"
"""Needs a process: `test_service_runner` damages the files that its loop watches."""
LOOPS = [
    KeptLoop(DenialReporter.__module__, DenialReporter.__name__, "report"),
    *(each for each in kept_loops("aitrading.server") if each.owner != OF_PROCESSES),
]
SILENT: dict[Any, tuple[str, ...]] = {
    DenialReporter: ("report",),
    EdgeKeeper: ("_refresh",),
    RateKeeper: ("_read", "_save"),
    TraceCollector: ("round",),
}
"""What an owner does besides its loops, and needs real files or figures for."""


@pytest.mark.parametrize("loop", LOOPS, ids=str)
@async_test
async def test_a_loop_of_a_service_goes_on(loop: KeptLoop, tmp_path: Path) -> None:
    clock = ManualClock()
    given: dict[Any, dict[str, Any]] = {
        LogLifecycle: {"bundle": SimpleNamespace(home=tmp_path)},
        FanOut: {"settings": StreamSettings},
    }
    kind = StateAnnouncer if loop.kind is Announcer else loop.kind
    component = assembled(kind, clock, tmp_path, **given.get(loop.kind, {}))
    for name in SILENT.get(loop.kind, ()):
        setattr(component, name, Silent())
    assert await faults_of(loop, component, clock) == []


def test_loops_are_found() -> None:
    assert len(LOOPS) >= 37
