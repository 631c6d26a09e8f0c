from pathlib import Path

import pytest

from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.ids import SystemIdFactory
from aitrading.core.kit.randomness import SystemRandomness


@pytest.fixture
def clock() -> SystemClock:
    return SystemClock()


@pytest.fixture
def ids(clock: SystemClock) -> SystemIdFactory:
    return SystemIdFactory(clock, SystemRandomness())


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "client"
    folder.mkdir()
    return folder
