"""Each loop that the client keeps goes on after a failure that nobody foresaw."""

from pathlib import Path
from typing import Any

import pytest

from aitrading.client.security.certificate_keeper import CertificateKeeper
from aitrading.client.security.security_keeper import SecurityKeeper
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.kept_loops import (
    KeptLoop,
    Silent,
    assembled,
    faults_of,
    kept_loops,
)
from aitrading.core.testing.manual_clock import ManualClock

LOOPS = kept_loops("aitrading.client")
SILENT: dict[Any, tuple[str, ...]] = {
    CertificateKeeper: ("check",),
    SecurityKeeper: ("_tell", "check"),
}
"""What an owner does besides its loops, and needs real files for."""


@pytest.mark.parametrize("loop", LOOPS, ids=str)
@async_test
async def test_a_loop_of_the_client_goes_on(loop: KeptLoop, tmp_path: Path) -> None:
    clock = ManualClock()
    component = assembled(loop.kind, clock, tmp_path)
    for name in SILENT.get(loop.kind, ()):
        setattr(component, name, Silent())
    assert await faults_of(loop, component, clock) == []


def test_loops_are_found() -> None:
    assert len(LOOPS) >= 12
