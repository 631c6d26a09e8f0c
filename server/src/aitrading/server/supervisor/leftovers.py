"""Processes of an earlier supervisor that was killed: recognised, waited for, ended."""

import asyncio
import os
import signal
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.server.engines.files import replace_private
from aitrading.server.engines.process import ProcessId

ORDERLY_END_S = 10.0
"""They were told to stop when their supervisor died; this long they may take."""
POLL_S = 0.01


class ChildRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One process as it is remembered on disk."""

    name: str
    pid: int
    started_ticks: int

    @property
    def process(self) -> ProcessId:
        """The process beyond its number."""
        return ProcessId(self.pid, self.started_ticks)


def remember_children(path: Path, children: Mapping[str, ProcessId]) -> None:
    """Write down who runs, so that the next start can find them if we are killed."""
    records = [
        ChildRecord(name=name, pid=process.pid, started_ticks=process.started_ticks)
        for name, process in children.items()
    ]
    replace_private(path, msgspec.json.encode(records))


def read_children(path: Path) -> list[ChildRecord]:
    """Who was running; nobody when there is no usable record."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[ChildRecord])
    except (OSError, msgspec.MsgspecError):
        return []


async def end_leftovers(path: Path, clock: Clock) -> list[str]:
    """Wait until processes of a killed supervisor are gone, kill what hangs; tell who was left."""
    left = [record for record in read_children(path) if record.process.alive]
    await _wait_for_end(left, clock)
    for record in left:
        if record.process.alive:
            os.kill(record.pid, signal.SIGKILL)
    await _wait_for_end(left, clock)
    return [record.name for record in left]


async def _wait_for_end(records: Iterable[ChildRecord], clock: Clock) -> None:
    deadline_ns = clock.monotonic_ns() + round(ORDERLY_END_S * NS_PER_S)
    while any(record.process.alive for record in records):
        if clock.monotonic_ns() > deadline_ns:
            return
        await asyncio.sleep(POLL_S)
