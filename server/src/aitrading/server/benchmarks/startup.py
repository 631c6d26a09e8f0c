"""How long `aitrading up` takes and how much memory an idle platform needs.

The floor of a start is what the same programs need when nothing orders or examines them: every
service module imported in a process of its own, and the engines' processes, all at once. Memory
is the proportional set size, so that pages shared by several processes are counted once.
"""

import asyncio
import io
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.ids import SystemIdFactory
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.server.benchmarks.installation import (
    FREE_PORTS,
    command_up,
    platform_state,
)
from aitrading.server.engines.binaries import envoy_binary, nats_binary, valkey_binary
from aitrading.server.engines.proc import descendants, pss_mb
from aitrading.server.supervisor.admin_client import AdminClient
from aitrading.server.supervisor.assembly import Assembly, Choices, Kit, assemble
from aitrading.server.supervisor.births import Births
from aitrading.server.supervisor.bundles import SERVICES
from aitrading.server.supervisor.home import Home
from aitrading.server.supervisor.progress import LineReporter
from aitrading.server.supervisor.state import PlatformState
from aitrading.server.supervisor.up import Platform, UpOptions
from aitrading.server.testing.engines import running_postgres

WARM_STARTS: Final = 3
WARM_STARTS_LONG: Final = 9
IDLE_S: Final = 3.0
EAGER: Final = (sys.executable, "-I", "-m", "aitrading.server.benchmarks.eager")
Figures = dict[str, float | None]


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Proportional set sizes of one idle platform."""

    total_mb: float
    services_mb: dict[str, float]


async def run(*, long: bool = False) -> Figures:
    """Cold start, warm starts, memory lazily and eagerly loaded, and the floor of a start."""
    with tempfile.TemporaryDirectory(prefix="ait-bench-") as folder:
        home = Home(Path(folder) / "home")
        cold_s = _start(home)
        warm_s, floor_s = await _warm(
            home, Path(folder), WARM_STARTS_LONG if long else WARM_STARTS
        )
        lazy, eager = await _idle_memory(home), await _eager_memory(home)
    return {
        "startup.cold_s": round(cold_s, 3),
        "startup.warm_s": round(warm_s, 3),
        "startup.floor_s": round(floor_s, 3),
        "startup.ratio_to_floor": round(warm_s / floor_s, 3),
        "startup.idle_pss_mb": round(lazy.total_mb, 1),
        **{f"startup.pss_mb.{name}": size for name, size in lazy.services_mb.items()},
        **{f"startup.eager_pss_mb.{name}": size for name, size in eager.services_mb.items()},
        "startup.pss_ratio_to_eager": round(
            sum(lazy.services_mb.values()) / sum(eager.services_mb.values()), 3
        ),
    }


def _start(home: Home) -> float:
    """The command as a person types it, and its end; returns what it says it took."""
    with command_up(home, FREE_PORTS):
        started_in_s = platform_state(home).started_in_s
    assert started_in_s is not None  # noqa: S101 - `--detach` came back, so it started
    return started_in_s


async def _warm(home: Home, folder: Path, rounds: int) -> tuple[float, float]:
    """Medians of warm starts and of their floor, taken in turns."""
    starts_s: list[float] = []
    floors_s: list[float] = []
    async with running_postgres(folder):
        pass  # the floor's data exists from here on, as it does at a warm start
    for _ in range(rounds):
        starts_s.append(_start(home))
        floors_s.append(await _floor_s(folder))
    return statistics.median(starts_s), statistics.median(floors_s)


async def _idle_memory(home: Home) -> Memory:
    with command_up(home, FREE_PORTS):
        await asyncio.sleep(IDLE_S)
        return _memory(platform_state(home))


async def _eager_memory(home: Home) -> Memory:
    """The same platform, each service with every heavy library loaded."""
    clock, randomness = SystemClock(), SystemRandomness()
    kit = Kit(clock=clock, randomness=randomness, ids=SystemIdFactory(clock, randomness))
    options = UpOptions(home=home.root, settings=FREE_PORTS, began_ns=clock.monotonic_ns())
    ready = asyncio.Event()
    platform = Platform(options, kit, LineReporter(io.StringIO()), _eagerly(assemble))
    async with asyncio.TaskGroup() as group:
        group.create_task(platform.run(lambda _: ready.set()))
        await ready.wait()
        await asyncio.sleep(IDLE_S)
        client = AdminClient(home)
        memory = _memory(await asyncio.to_thread(client.request, "status", PlatformState))
        await asyncio.to_thread(client.request, "stop", type(None))
    return memory


def _eagerly(
    assembler: Callable[[Choices, Kit, Births], Assembly],
) -> Callable[[Choices, Kit, Births], Assembly]:
    return lambda choices, kit, births: assembler(replace(choices, interpreter=EAGER), kit, births)


def _memory(state: PlatformState) -> Memory:
    """Everything below the supervisor, itself included; services one by one."""
    assert state.pid is not None  # noqa: S101 - a running platform has one
    services = {
        name: pss_mb(child.pid) or 0.0 for name, child in state.services.items() if child.pid
    }
    total = sum(pss_mb(pid) or 0.0 for pid in descendants(state.pid))
    return Memory(total_mb=total, services_mb=services)


async def _floor_s(folder: Path) -> float:
    """All programs at once, without order, configuration or examination."""
    began = time.monotonic()
    with ExitStack() as stack:
        started = [
            stack.enter_context(subprocess.Popen(command, stdout=subprocess.DEVNULL))  # noqa: S603, ASYNC220 - our own
            for command in _floor_commands()
        ]
        async with running_postgres(folder):
            for process in started:
                await asyncio.to_thread(process.wait)
            return time.monotonic() - began


def _floor_commands() -> list[list[str]]:
    services = [[sys.executable, "-I", "-c", f"import {s.module}.service"] for s in SERVICES]
    engines = [
        [str(binary), "--version"] for binary in (valkey_binary(), nats_binary(), envoy_binary())
    ]
    return [*services, *engines]
