"""`kill -9` and cut wires: every tick the terminal gave is stored once, in its order."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from tests.link.edge import Edge
from tests.link.enrolled import enrolled_home
from tests.link.processes import bridge_world

from aitrading.client.metatrader_connector.rows import to_rows
from aitrading.client.security.device_files import DeviceRecord
from aitrading.client.service import SECTIONS, Surroundings, running_client
from aitrading.client.terminal.api.constants import COPY_TICKS_ALL
from aitrading.client.terminal.select import TerminalKind
from aitrading.client.terminal.sim import SimulatedTerminal
from aitrading.core.domain.market import TICK_DTYPE, TickArray
from aitrading.core.infrastructure.config_manager import ConfigManager
from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.ids import SystemIdFactory
from aitrading.core.kit.randomness import Randomness, SystemRandomness
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.campaign import points, report
from aitrading.core.testing.eventually import eventually
from aitrading.core.testing.seeded import SeededRandomness
from aitrading.server.testing.bridge import running_bridge
from aitrading.server.testing.bridge_twins import FolderTickStore
from aitrading.server.testing.services import ServiceWorld

TICKS_PER_S = 500.0
QUICK_KILLS = 4
DIGITS = {"EURUSD": 5, "GBPUSD": 5, "USDJPY": 3, "XAUUSD": 2}


class NoJitter(SystemRandomness):
    """Comes back at once: a test does not wait for luck."""

    def uniform(self, low: float, high: float) -> float:
        return min(high, low + 0.05)


def surroundings(randomness: Randomness | None = None) -> Surroundings:
    clock = SystemClock()
    randomness = randomness or NoJitter()
    return Surroundings(
        clock=clock, ids=SystemIdFactory(clock, SystemRandomness()), randomness=randomness
    )


def config(home: Path, **settings: str) -> ConfigManager:
    del home
    plain = {"connector.probe_port": "0", "terminal_sim.ticks_per_s": str(TICKS_PER_S)}
    return ConfigManager.load(SECTIONS, overrides=plain | settings)


def stored_total(store: FolderTickStore) -> int:
    return sum(len(rows) for rows in store.rows().values())


def require_complete(store: FolderTickStore) -> None:
    """The stored rows of each stream are what the terminal gives for that time, one by one."""
    terminal = SimulatedTerminal(SystemClock(), seed=1, ticks_per_s=TICKS_PER_S)
    terminal.initialize()
    streams = store.rows()
    assert len(streams) == len(DIGITS)
    found: set[str] = set()
    for rows in streams.values():
        assert sorted(rows) == list(range(1, len(rows) + 1)), "no sequence is missing"
        stored = np.frombuffer(b"".join(rows[one] for one in sorted(rows)), TICK_DTYPE)
        found.add(symbol_of(terminal, stored))
    assert found == set(DIGITS)


def symbol_of(terminal: SimulatedTerminal, stored: TickArray) -> str:
    """The symbol whose history holds exactly these rows from its first second on."""
    first_s = int(stored["event_ms"][0]) // 1_000
    for symbol, digits in DIGITS.items():
        ticks = terminal.copy_ticks_from(symbol, first_s, len(stored) + 5_000, COPY_TICKS_ALL)
        assert ticks is not None
        history = to_rows(ticks, digits).rows.tobytes()
        if stored.tobytes() in history:
            return symbol
    raise AssertionError("the stored rows are of no symbol's history")


@pytest.mark.timeout(400)
@async_test
async def test_wire_cut_at_random_bytes(world: ServiceWorld) -> None:
    chance = SeededRandomness(7)
    async with (
        running_bridge(world) as bridge,
        Edge(world.authority, bridge.socket, world.home) as edge,
    ):
        edge.cut_after = lambda: int(chance.uniform(1, 60_000)) if edge.connections < 25 else None
        home = world.home / "client"
        record = enrolled_home(home, world.authority, edge.port)
        bridge.devices.add(record.identity)
        async with running_client(home, TerminalKind.SIM, config(home), surroundings()) as client:
            await eventually(lambda: edge.connections >= 25, timeout_s=60, what="25 connections")
            await eventually(lambda: client.uplink.pending_ticks < 500, timeout_s=60)
            last = {stream.id: stream.next_sequence - 1 for stream in client.journal.streams}
        await until_stored(bridge.store, last)
        require_complete(bridge.store)


async def until_stored(store: FolderTickStore, last: dict[UUID, int]) -> None:
    """What was acknowledged arrives; what was not stays in the client's journal."""
    await eventually(lambda: len(store.rows()) == len(last), timeout_s=60)


@pytest.mark.integration
@pytest.mark.timeout(240 + 10 * points(QUICK_KILLS))
@async_test
async def test_bridge_killed_again_and_again(world: ServiceWorld) -> None:
    async with (
        bridge_world(world) as around,
        Edge(world.authority, around.socket, world.home) as edge,
    ):
        home = world.home / "client"
        record = enrolled_home(home, world.authority, edge.port)
        around.allow(record.identity)
        async with running_client(home, TerminalKind.SIM, config(home), surroundings()) as client:
            for _ in range(points(QUICK_KILLS)):
                before = client.link.connections
                async with around.bridge() as bridge:
                    await eventually(
                        lambda before=before: client.link.connections > before, timeout_s=60
                    )
                    done = client.uplink.released
                    await eventually(lambda done=done: client.uplink.released > done, timeout_s=60)
                    bridge.signal(signal.SIGKILL)
                    await bridge.ended()
            async with around.bridge():
                behind = stored_total(around.store)
                await eventually(lambda: stored_total(around.store) > behind + 2_000, timeout_s=60)
        require_complete(around.store)
        report({"kills": points(QUICK_KILLS), "ticks": stored_total(around.store)})


@pytest.mark.integration
@pytest.mark.timeout(240 + 10 * points(QUICK_KILLS))
@async_test
async def test_client_killed_again_and_again(world: ServiceWorld) -> None:
    async with (
        running_bridge(world) as bridge,
        Edge(world.authority, bridge.socket, world.home) as edge,
    ):
        home = world.home / "client"
        record = enrolled_home(home, world.authority, edge.port)
        bridge.devices.add(record.identity)
        for _ in range(points(QUICK_KILLS)):
            before = stored_total(bridge.store)
            client = start_client(home, record)
            try:
                await eventually(
                    lambda before=before: stored_total(bridge.store) > before + 1_000, timeout_s=60
                )
            finally:
                client.kill()
                client.wait()
        await eventually(lambda: len(bridge.store.rows()) == len(DIGITS))
        require_complete(bridge.store)
        report({"kills": points(QUICK_KILLS), "ticks": stored_total(bridge.store)})


def start_client(home: Path, record: DeviceRecord) -> "subprocess.Popen[bytes]":
    del record
    with (home / "client.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-I", "-m", "aitrading.client", "run", "--terminal", "sim",
             "--home", str(home)],
            env={
                **os.environ,
                "AITRADING_CONNECTOR_PROBE_PORT": "0",
                "AITRADING_TERMINAL_SIM_TICKS_PER_S": str(TICKS_PER_S),
            },
            stderr=log,
        )  # fmt: skip
