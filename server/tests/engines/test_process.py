"""Child processes: their output, their end, and that they cannot outlive us."""

import asyncio
import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.server.engines.process import Launch, process_id, run_to_end, start_process

SLEEPER = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "print('up', flush=True); time.sleep(600)"
)
WAITER = "import sys; print(sys.stdin.buffer.readline(), flush=True); sys.stdin.buffer.read()"
PARENT = """
import asyncio, sys
from pathlib import Path
from aitrading.server.engines.process import Launch, start_process

async def main():
    code = "import time; time.sleep(600)"
    launch = Launch(command=(sys.executable, "-c", code), environment={}, folder=Path("/"))
    print(start_process(launch, print).pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def launch(code: str, **changes: object) -> Launch:
    options = {"environment": {}, "folder": Path("/"), **changes}
    return Launch(command=(sys.executable, "-c", code), **options)  # type: ignore[arg-type]


@async_test
async def test_output_and_exit_code_reach_us() -> None:
    code, said = await run_to_end(
        launch("print(input()[::-1]); raise SystemExit(3)"), stdin=b"abc\n", timeout_s=60
    )
    assert (code, said) == (3, "cba\n")


@async_test
async def test_a_program_that_takes_too_long_is_ended() -> None:
    with pytest.raises(TimeoutError):
        await run_to_end(launch(SLEEPER), timeout_s=0.2)


@async_test
async def test_its_children_end_with_it(tmp_path: Path) -> None:
    """As `initdb` and the server it runs: a folder they write must be ours when they were killed."""
    told = tmp_path / "child"
    parent = f"""if True:
        import pathlib, subprocess, time
        child = subprocess.Popen(["/bin/sleep", "600"])
        pathlib.Path({str(told)!r}).write_text(str(child.pid) + "\\n")
        time.sleep(600)
    """
    running = asyncio.ensure_future(run_to_end(launch(parent), timeout_s=60))
    await eventually(lambda: told.exists() and told.read_text().endswith("\n"))
    child = process_id(int(told.read_text()))
    running.cancel()
    await asyncio.wait([running])
    assert not child.alive


@async_test
async def test_stop_kills_what_ignores_its_signal() -> None:
    said = bytearray()
    process = start_process(launch(STUBBORN, stop_timeout_s=0.2), said.extend)
    await eventually(lambda: b"up" in said)
    assert await process.stop() == -signal.SIGKILL
    assert not process.id.alive


@async_test
async def test_the_end_is_told_although_the_output_has_nowhere_to_go() -> None:
    """The log is on a disk that fails; its last words are read at its end."""
    failures: list[bytes] = []

    def failing(chunk: bytes) -> None:
        failures.append(chunk)
        raise OSError(errno.EIO, "the disk is gone")

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, _context: None)
    process = start_process(launch("print('last words')"), failing)
    loop.remove_reader(process._born.stdout_fd)
    assert await process.wait() == 0
    assert failures
    assert await process.stop() == 0


@async_test
async def test_a_controlled_child_waits_for_go_and_ends_with_its_pipe() -> None:
    said = bytearray()
    process = start_process(launch(WAITER, controlled=True), said.extend)
    process.release()
    await eventually(lambda: b"go" in said)
    assert process.returncode is None
    await process.stop()


@async_test
async def test_a_child_dies_with_its_parent_even_by_kill_9() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:  # noqa: ASYNC220 - started once
        assert parent.stdout is not None
        child = process_id(int(parent.stdout.readline()))
        assert child.alive
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        await eventually(lambda: not child.alive, what="the end of the orphan")


@async_test
async def test_a_reused_pid_is_not_mistaken_for_the_old_process() -> None:
    mine = process_id(os.getpid())
    assert mine.alive
    assert not type(mine)(mine.pid, mine.started_ticks - 1).alive
