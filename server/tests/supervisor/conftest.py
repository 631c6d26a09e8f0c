"""Toy platforms for tests of supervision."""

import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from aitrading.server.engines.process import ProcessId
from aitrading.server.supervisor.leftovers import read_children

TOYS = Path(__file__).with_name("toys.py")


class ToyPlatform:
    """A supervisor with toy children in a process of its own."""

    def __init__(self, home: Path, *modes: str) -> None:
        self.home = home
        self.process = subprocess.Popen(
            [sys.executable, str(TOYS), str(home), *modes],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_ready(self) -> None:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line == "True\n", self.finish()[1]

    def children(self) -> dict[str, ProcessId]:
        records = read_children(self.home / "run" / "children.json")
        return {record.name: record.process for record in records}

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def finish(self) -> tuple[int, str]:
        _, errors = self.process.communicate(timeout=60)
        return self.process.returncode, errors


@pytest.fixture(scope="session")
def toys() -> ModuleType:
    spec = importlib.util.spec_from_file_location("aitrading_toys", TOYS)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose path leaves room for socket names."""
    with tempfile.TemporaryDirectory(prefix="ait-") as folder:
        yield Path(folder)


@pytest.fixture
def toy_platform(short_folder: Path) -> Iterator[Callable[..., ToyPlatform]]:
    started: list[ToyPlatform] = []

    def start(*modes: str, home: Path | None = None) -> ToyPlatform:
        platform = ToyPlatform(home or short_folder / "home", *modes)
        started.append(platform)
        return platform

    yield start
    for platform in started:
        if platform.process.poll() is None:
            platform.process.kill()
        platform.process.communicate()
        for child in platform.children().values():
            if child.alive:
                os.kill(child.pid, signal.SIGKILL)
