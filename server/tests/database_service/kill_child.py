"""A writer that is killed: stores the segments of a folder, in order, and dies where it is told.

Run as `python kill_child.py <instructions.json>`; prints the name of each stored segment.
"""

import asyncio
import importlib.util
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from aitrading.server.database_service.ticks import ledger
from aitrading.server.database_service.ticks.blocks import Piece
from aitrading.server.database_service.ticks.port import TickStore
from aitrading.server.database_service.ticks.writer import TickWriter
from aitrading.server.kit.bundle import PostgresAccess


class Instructions(msgspec.Struct):
    """What the parent wants."""

    postgres: PostgresAccess
    folder: str
    segments: list[str]
    die: str
    """Where, at the last segment; empty to live."""
    alone: bool = False
    """Whether PostgreSQL keeps the ticks."""


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class DeadlyStore:
    """Dies around its insert when armed; else it is the store that it was given."""

    armed = ""

    def __init__(self, store: TickStore) -> None:
        self._store: Any = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def insert(self, pieces: Sequence[Piece], *, label: str) -> None:
        if self.armed == "before insert":
            die()
        if self.armed == "between the tables":
            self._store._clickhouse = OneInsert(self._store._clickhouse)
        if self.armed == "half inserted":
            await self._store.insert(pieces[::2], label=f"{label}-half")
            die()
        await self._store.insert(pieces, label=label)
        if self.armed == "after insert":
            die()


class OneInsert:
    """Lets one insert through and dies at the second."""

    def __init__(self, clickhouse: Any) -> None:
        self._clickhouse = clickhouse
        self._done = False

    async def insert(self, into: str, block: bytes, *, label: str) -> None:
        if self._done:
            die()
        self._done = True
        await self._clickhouse.insert(into, block, label=label)


class Access:
    """What the fixtures ask for a login."""

    def __init__(self, access: PostgresAccess) -> None:
        self._access = access

    def access(self, _role: str) -> PostgresAccess:
        return self._access


async def run(instructions: Instructions) -> None:
    fixtures = load_fixtures()
    async with fixtures.open_world(
        Access(instructions.postgres), Path(instructions.folder), alone=instructions.alone
    ) as world:
        store = DeadlyStore(world.store)
        world.intake._writer = TickWriter(world.pool, store, world.guards)
        for number, path in enumerate(map(Path, instructions.segments), 1):
            if number == len(instructions.segments):
                arm(store, instructions.die)
            await world.intake.take(path.stem, path.read_bytes())
            if instructions.die == "after commit" and number == len(instructions.segments):
                die()
            print(path.stem, flush=True)  # noqa: T201 - this is how the parent learns of it


def arm(store: DeadlyStore, where: str) -> None:
    store.armed = where
    if where == "before commit":
        written = ledger.record

        async def record_and_die(*arguments: Any) -> None:
            await written(*arguments)
            die()

        ledger.record = record_and_die


def load_fixtures() -> Any:
    spec = importlib.util.spec_from_file_location(
        "fixtures", Path(__file__).with_name("conftest.py")
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules["fixtures"] = module
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    raw = Path(sys.argv[1]).read_bytes()
    asyncio.run(run(msgspec.json.decode(raw, type=Instructions)))
