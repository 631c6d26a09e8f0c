"""A writer killed with SIGKILL at every step, and anywhere: nothing lost, nothing doubled."""

import random
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from uuid import uuid5

import msgspec
import pytest

from aitrading.core.kit.ids import TenantId
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.campaign import first_seed, points, report
from aitrading.server.engines.shared import PostgresServer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(360)]
CHILD = Path(__file__).with_name("kill_child.py")
Tenants = tuple[TenantId, TenantId]
END_OF_NOVEMBER_NS = 1_701_388_799_000_000_000
QUICK_KILLS = 4
ROWS = 20_000
SEGMENTS_AT_ONCE = 4
STEPS = [
    "before insert",
    "between the tables",
    "half inserted",
    "after insert",
    "before commit",
    "after commit",
]


class Child:
    """Starts writers over one folder, one after the other."""

    def __init__(self, postgres: PostgresServer, folder: Path, *, alone: bool = False) -> None:
        self._alone = alone
        self._access = postgres.access("database")
        self._folder = folder

    def start(self, segments: list[Path], die: str = "") -> "subprocess.Popen[str]":
        instructions = self._folder / "instructions.json"
        instructions.write_bytes(
            msgspec.json.encode(
                {
                    "postgres": self._access,
                    "folder": str(self._folder),
                    "segments": [str(path) for path in segments],
                    "die": die,
                    "alone": self._alone,
                }
            )
        )
        return subprocess.Popen(
            [sys.executable, str(CHILD), str(instructions)], stdout=subprocess.PIPE, text=True
        )

    def run(self, segments: list[Path], die: str = "") -> int:
        with self.start(segments, die) as process:
            return process.wait(60)


def write_segments(
    folder: Path, make: Callable[[int], tuple[str, bytes]], numbers: Iterable[int]
) -> list[Path]:
    paths: list[Path] = []
    for index in numbers:
        name, body = make(index)
        paths.append(folder / f"{name}.segment")
        paths[-1].write_bytes(body)
    return paths


@pytest.mark.parametrize("step", STEPS)
@async_test
async def test_a_kill_at_each_step(
    step: str,
    world: Any,
    tenants: Tenants,
    payload: Callable[..., bytes],
    postgres: PostgresServer,
    tmp_path: Path,
) -> None:
    alpha, beta = tenants
    async with world() as w:
        streams = {tenant: await w.open(tenant) for tenant in tenants}

        def make(index: int) -> tuple[str, bytes]:
            """Batches of both tenants, on both sides of the end of a month."""
            return w.segment(
                *(
                    payload(
                        tenant,
                        streams[tenant],
                        1 + 200 * index + 100 * half,
                        100,
                        receive_ns=END_OF_NOVEMBER_NS + half * 10**9,
                    )
                    for half in (0, 1)
                    for tenant in tenants
                )
            )

        paths = write_segments(tmp_path, make, range(2))
    child = Child(postgres, tmp_path)
    assert child.run(paths, die=step) == -9
    assert child.run(paths) == 0
    async with world() as w:
        for tenant in (alpha, beta):
            assert await w.counts(tenant, streams[tenant]) == (400, 400, 1, 400)
            mark = (await w.book.marks(tenant, uuid5(tenant, "device"))).marks[0]
            assert (mark.last_sequence, mark.missing) == (400, 0)


@async_test
async def test_one_kill_after_the_other_where_postgresql_keeps_ticks(
    world: Any,
    tenants: Tenants,
    payload: Callable[..., bytes],
    postgres: PostgresServer,
    tmp_path: Path,
) -> None:
    """Each writer stores what the one before died with, and dies a step later with the next."""
    alpha, beta = tenants
    steps = ("half inserted", "after insert", "before commit")
    async with world(alone=True) as w:
        streams = {tenant: await w.open(tenant) for tenant in tenants}

        def make(index: int) -> tuple[str, bytes]:
            first = 1 + 100 * index
            return w.segment(*(payload(each, streams[each], first, 100) for each in tenants))

        paths = write_segments(tmp_path, make, range(len(steps)))
        child = Child(postgres, tmp_path, alone=True)
        for number, step in enumerate(steps):
            assert child.run(paths[max(0, number - 1) : number + 1], die=step) == -9, step
        assert child.run(paths) == 0
        for tenant in (alpha, beta):
            total = 100 * len(steps)
            assert await w.counts(tenant, streams[tenant]) == (total, total, 1, total)
            mark = (await w.book.marks(tenant, uuid5(tenant, "device"))).marks[0]
            assert (mark.last_sequence, mark.missing) == (total, 0)


@pytest.mark.timeout(240 + 10 * points(QUICK_KILLS))
@async_test
async def test_kills_at_any_moment(
    world: Any,
    tenants: Tenants,
    payload: Callable[..., bytes],
    postgres: PostgresServer,
    tmp_path: Path,
) -> None:
    """Every writer is killed a random time after its first success; the next one goes on."""
    alpha, _ = tenants
    async with world() as w:
        stream = await w.open(alpha)

    def make(index: int) -> tuple[str, bytes]:
        first = 1 + index * ROWS
        month = END_OF_NOVEMBER_NS + (index % 2) * 10**9
        return w.segment(
            payload(alpha, stream, first, ROWS // 2, receive_ns=END_OF_NOVEMBER_NS),
            payload(alpha, stream, first + ROWS // 2, ROWS // 2, receive_ns=month),
        )

    child = Child(postgres, tmp_path)
    dice = random.Random(first_seed(7))  # noqa: S311 - a test's dice
    kills = segments = 0
    while kills < points(QUICK_KILLS):
        numbers = range(segments, segments + SEGMENTS_AT_ONCE)
        kills += store_all_under_kills(child, write_segments(tmp_path, make, numbers), dice)
        segments += SEGMENTS_AT_ONCE
    async with world() as w:
        total = segments * ROWS
        report({"kills": kills, "segments": segments, "ticks": total})
        assert await w.counts(alpha, stream) == (total, total, 1, total)


def store_all_under_kills(child: Child, paths: list[Path], dice: random.Random) -> int:
    """Start writers until every segment is stored; gives how many of them were killed."""
    kills = 0
    while paths:
        with child.start(paths) as process:
            stored = follow_and_kill(process, dice.uniform(0, 0.06))
        kills += process.returncode == -9
        paths = [path for path in paths if path.stem not in stored]
    return kills


def follow_and_kill(process: "subprocess.Popen[str]", after_s: float) -> set[str]:
    """Names of segments whose storing was answered before the kill."""
    first = process.stdout.readline().strip()
    try:
        process.wait(after_s)
    except subprocess.TimeoutExpired:
        process.kill()
    rest = process.stdout.read().split("\n")
    process.wait()
    return {first, *rest[:-1]} - {""}
