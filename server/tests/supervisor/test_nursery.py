"""The nursery: newborns are the supervisor's own children, and it may die without harm."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.server.engines.proc import descendants, stat_fields
from aitrading.server.engines.process import Launch, Process
from aitrading.server.supervisor.births import Births
from aitrading.server.supervisor.nursery_process import NurseryProcess, nursery_wanted

PARENT = 1
PATIENCE_S = 60.0


def launch(module: str) -> Launch:
    return Launch(
        command=(sys.executable, "-I", "-m", module),
        environment={},
        folder=Path("/"),
        controlled=True,
        stop_timeout_s=5.0,
        module=module,
    )


@asynccontextmanager
async def births() -> AsyncGenerator[tuple[Births, NurseryProcess]]:
    nursery = NurseryProcess(os.environ)
    made = Births(nursery)
    try:
        yield made, nursery
    finally:
        made.close()
        nursery.close()


def command_line_of(process: Process) -> str:
    return Path(f"/proc/{process.pid}/cmdline").read_text()


def parent_of(process: Process) -> int:
    fields = stat_fields(process.pid)
    assert fields is not None
    return int(fields[PARENT])


@async_test
async def test_a_newborn_is_our_child_runs_its_module_and_tells_how_it_ended() -> None:
    said = bytearray()
    async with births() as (made, nursery):
        process = await made.start(launch("platform"), said.extend)
        assert parent_of(process) == os.getpid()
        async with asyncio.timeout(PATIENCE_S):
            assert await process.wait() == 0
        assert b"Linux" in said, nursery.last_words()


@async_test
async def test_a_newborn_is_listed_under_its_own_name() -> None:
    async with births() as (made, _):
        process = await made.start(launch("code"), lambda _: None)
        listed = command_line_of(process)
        await process.stop()
    assert "code" in listed
    assert "nursery" not in listed


@async_test
async def test_newborns_outlive_the_nursery_and_later_ones_come_without_it() -> None:
    async with births() as (made, nursery):
        elder = await made.start(launch("code"), lambda _: None)
        os.kill(nursery.pid, signal.SIGKILL)
        younger = await made.start(launch("platform"), lambda _: None)
        async with asyncio.timeout(PATIENCE_S):
            assert await younger.wait() == 0
        assert elder.returncode is None
        await elder.stop()


@async_test
async def test_nothing_of_the_nursery_is_left() -> None:
    async with births() as (made, nursery):
        process = await made.start(launch("platform"), lambda _: None)
        await process.wait()
        pid = nursery.pid
    await eventually(lambda: pid not in descendants(os.getpid()))


def test_a_coverage_measurement_does_without() -> None:
    assert nursery_wanted({})
    assert not nursery_wanted({"COVERAGE_PROCESS_START": "x"})
