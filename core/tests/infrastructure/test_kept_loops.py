"""Each loop that the core keeps goes on after a failure that nobody foresaw."""

from pathlib import Path

import pytest

from aitrading.core.infrastructure.central_hub import CentralHub
from aitrading.core.infrastructure.chain_reporter import ChainReporter
from aitrading.core.infrastructure.error_reporter import ErrorReporter
from aitrading.core.infrastructure.reporting import Reporter
from aitrading.core.infrastructure.trace_reporter import TraceReporter
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.kept_loops import (
    KeptLoop,
    Silent,
    assembled,
    faults_of,
    kept_loops,
)
from aitrading.core.testing.manual_clock import ManualClock

ELSEWHERE = {CentralHub: "test_a_hub_that_failed_to_follow_says_so"}
"""Owners that recover by themselves before `keep` does, and the test that shows it."""
REPORTERS = (ChainReporter, ErrorReporter, TraceReporter)
LOOPS = [
    KeptLoop(kind.__module__, kind.__name__, each.name)
    for each in kept_loops("aitrading.core")
    if each.kind not in ELSEWHERE
    for kind in (REPORTERS if each.kind is Reporter else (each.kind,))
]


@pytest.mark.parametrize("loop", LOOPS, ids=str)
@async_test
async def test_a_loop_of_the_core_goes_on(loop: KeptLoop, tmp_path: Path) -> None:
    clock = ManualClock()
    component = assembled(loop.kind, clock, tmp_path)
    if loop.kind is TraceReporter:
        component.report = Silent()
    assert await faults_of(loop, component, clock) == []


def test_what_is_shown_elsewhere_is_there() -> None:
    source = (Path(__file__).parent / "test_central_hub.py").read_text()
    assert all(f"async def {name}" in source for name in ELSEWHERE.values())
    assert len(LOOPS) >= 3
