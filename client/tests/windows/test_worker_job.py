"""Workers of a client on Windows: in its job, told as the system tells it, and gone when it is gone."""

import asyncio
import ctypes
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from aitrading.client.security.measures import Outcome
from aitrading.client.security.process_security import harden_a_child
from aitrading.client.security.worker_job import ExtendedLimits, worker_job
from aitrading.client.terminal.calls import call
from aitrading.client.terminal.pool.opening import Opening
from aitrading.client.terminal.pool.worker import WorkerProcess
from aitrading.client.terminal.select import TerminalKind
from aitrading.client.terminal.settings import SimulatedTerminalSettings
from aitrading.core.kit.clock import SystemClock

pytestmark = pytest.mark.skipif(sys.platform != "win32", reason="needs Windows: make test-windows")
END_TIMEOUT_MS = 20_000
SYNCHRONIZE = 0x0010_0000
WORKER = """
import sys, time
from aitrading.client.security.confinement import WorkerNeeds
from aitrading.client.security.process_security import harden_worker
print(harden_worker(sys.argv[1], WorkerNeeds())[0].outcome, flush=True)
while True: time.sleep(1)  # as one that hangs in a call: its input is not looked at
"""
CLIENT = """
import os, subprocess, sys
from aitrading.client.security.worker_job import worker_job
with worker_job() as job:
    child = subprocess.Popen(
        [sys.executable, "-c", sys.argv[2], job if sys.argv[1] == "joins" else ""],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )
    print(child.stdout.readline().strip(), child.pid, flush=True)
    sys.stdin.readline()
    os._exit(1)  # nothing is cleaned up
"""


def kernel32() -> Any:
    loader: Any = ctypes  # only Windows has it
    library = loader.WinDLL("kernel32")
    library.OpenProcess.restype = ctypes.c_void_p
    return library


def is_wine() -> bool:
    loader: Any = ctypes
    return hasattr(loader.WinDLL("ntdll"), "wine_get_version")


@pytest.fixture
def client() -> Generator[Any]:
    """Starts a client with a worker that looks at nothing; what is left of it is ended."""
    handles: list[ctypes.c_void_p] = []
    started: list[subprocess.Popen[str]] = []

    def start(how: str) -> tuple[subprocess.Popen[str], str, ctypes.c_void_p]:
        process = subprocess.Popen(
            [sys.executable, "-c", CLIENT, how, WORKER],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        assert process.stdout is not None
        outcome, pid = process.stdout.readline().split()
        handles.append(ctypes.c_void_p(kernel32().OpenProcess(SYNCHRONIZE | 0x1, 0, int(pid))))
        return process, outcome, handles[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()
    for handle in handles:
        kernel32().TerminateProcess(handle, 1)
        kernel32().CloseHandle(handle)


def ended(handle: ctypes.c_void_p, wait_ms: int) -> bool:
    return kernel32().WaitForSingleObject(handle, wait_ms) == 0


@pytest.mark.parametrize("how", ["it ends", "it is killed"])
def test_a_worker_that_hangs_ends_with_its_client(client: Any, how: str) -> None:
    process, outcome, worker = client("joins")
    assert outcome == Outcome.ENFORCED
    assert not ended(worker, 0)
    process.communicate("\n") if how == "it ends" else process.kill()
    assert ended(worker, END_TIMEOUT_MS)


def test_without_the_job_it_would_go_on(client: Any) -> None:
    """So that the test above is known to see something."""
    process, outcome, worker = client("stays outside")
    assert outcome == Outcome.UNSUPPORTED
    process.communicate("\n")
    assert not ended(worker, 500)


def test_a_real_worker_tells_how_it_is_tied_and_serves() -> None:
    settings = SimulatedTerminalSettings()

    async def tied() -> WorkerProcess:
        worker = await WorkerProcess.start(
            Opening.of(TerminalKind.SIM, settings, SystemClock(), job=job)
        )
        try:
            [answer] = await worker.ask((call("initialize"),), timeout_s=20)
            assert answer.value is True
        finally:
            await worker.close()
        return worker

    with worker_job() as job:
        worker = asyncio.run(tied())
    standings = {each.name: each for each in worker.standings}
    assert standings["in-job"].outcome is Outcome.ENFORCED
    claims_of(standings["ends-with-client"].holds, standings["memory-limit"].holds)


def claims_of(*held: bool) -> None:
    """Wine ends workers with the job and says that there is no such limit: nothing is claimed."""
    assert set(held) == {not is_wine()}


def test_the_doctor_tries_a_worker_too() -> None:
    rows = {row["name"]: row["outcome"] for row in harden_a_child(Path.cwd(), confined=True)}
    assert rows["in-job"] == "enforced"
    assert rows["privileges"] in {"enforced", "verified"}, "a child has no more than its parent"
    assert {"ends-with-client", "memory-limit", "desktop-limits"} <= set(rows)


def test_sizes_are_those_of_windows() -> None:
    assert ctypes.sizeof(ExtendedLimits) == 144
