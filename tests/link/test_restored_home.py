"""A client's home is put back from a backup: its numbers are behind what the server has."""

import asyncio
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from tests.link.edge import Edge
from tests.link.enrolled import enrolled_home
from tests.link.test_kills import (
    DIGITS,
    TICKS_PER_S,
    config,
    stored_total,
    surroundings,
    symbol_of,
)

from aitrading.client.service import RunningClient, running_client
from aitrading.client.terminal.select import TerminalKind
from aitrading.client.terminal.sim import SimulatedTerminal
from aitrading.core.domain.market import TICK_DTYPE
from aitrading.core.kit.clock import SystemClock
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.server.testing.bridge import RunningBridge, running_bridge
from aitrading.server.testing.bridge_twins import FolderTickStore
from aitrading.server.testing.services import ServiceWorld

pytestmark = pytest.mark.timeout(240)


@asynccontextmanager
async def client_of(home: Path) -> AsyncGenerator[RunningClient]:
    async with running_client(home, TerminalKind.SIM, config(home), surroundings()) as client:
        yield client


async def until_more_is_stored(bridge: RunningBridge, ticks: int = 1_500) -> None:
    before = stored_total(bridge.store)
    await eventually(lambda: stored_total(bridge.store) > before + ticks)


def require_each_tick_once(store: FolderTickStore) -> int:
    """Over all epochs, a symbol's rows are one piece of its terminal's history; how many epochs."""
    terminal = SimulatedTerminal(SystemClock(), seed=1, ticks_per_s=TICKS_PER_S)
    terminal.initialize()
    by_symbol: dict[str, list[bytes]] = {}
    for rows in store.rows().values():
        assert sorted(rows) == list(range(1, len(rows) + 1)), "no sequence is missing"
        stored = b"".join(rows[one] for one in sorted(rows))
        symbol = symbol_of(terminal, np.frombuffer(stored, TICK_DTYPE))
        by_symbol.setdefault(symbol, []).append(stored)
    for parts in by_symbol.values():
        parts.sort(key=lambda one: int(np.frombuffer(one, TICK_DTYPE)["event_ms"][0]))
        symbol_of(terminal, np.frombuffer(b"".join(parts), TICK_DTYPE))
    return sum(len(parts) for parts in by_symbol.values())


@async_test
async def test_what_the_life_after_the_backup_sent_is_not_stored_again(
    world: ServiceWorld,
) -> None:
    """Whether the terminal or the link is there first: each tick once, and no gap."""
    async with running_bridge(world) as bridge:
        home, backup = world.home / "client", world.home / "backup"
        edge = Edge(world.authority, bridge.socket, world.home)
        async with edge:
            record = enrolled_home(home, world.authority, edge.port)
            bridge.devices.add(record.identity)
            async with client_of(home):
                await until_more_is_stored(bridge)
            await asyncio.to_thread(shutil.copytree, home, backup)
            async with client_of(home):
                await until_more_is_stored(bridge)
            await asyncio.to_thread(put_back, backup, home)
            async with client_of(home):
                await until_more_is_stored(bridge)
        await asyncio.to_thread(put_back, backup, home)
        async with client_of(home) as client:  # alone for long enough to be ahead of the server
            sent = stored_total(bridge.store)
            await eventually(lambda: numbered(client) > sent + 500)
            async with edge:
                await until_more_is_stored(bridge)
        assert require_each_tick_once(bridge.store) == len(DIGITS)
        assert client.journal.gaps.added == 0


def numbered(client: RunningClient) -> int:
    return sum(one.next_sequence - 1 for one in client.journal.streams)


def put_back(backup: Path, home: Path) -> None:
    shutil.rmtree(home)
    shutil.copytree(backup, home)
