"""One child process that cannot outlive us, and whose end is an event, not a poll.

Uses `subprocess` with a pidfd instead of asyncio's child watchers: those need a thread per child
on Python 3.11.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from typing_extensions import override

from aitrading.server.engines.linux import die_with_parent
from aitrading.server.engines.os_user import Confinement
from aitrading.server.engines.proc import START_TIME, STATE, descendants, stat_fields

READ_BYTES = 65_536
DYING_POLL_S = 0.005
CONTROL_FD = 0
"""Where a controlled child finds its control pipe."""
GO = b"go\n"
Output = Callable[[bytes], object]
"""Gets what a child says, as it says it."""


@dataclass(frozen=True, kw_only=True)
class Launch:
    """How one program is started and asked to stop."""

    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    confinement: Confinement | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout_s: float = 10.0
    controlled: bool = False
    """Standard input is a pipe: `go` on it releases the child, its end tells that we died."""
    module: str | None = None
    """What `command` runs, if that is a Python module that may be forked from the nursery."""


@dataclass(frozen=True, kw_only=True)
class Born:
    """A process just started: its number, our ends of its pipes, and how to collect it."""

    pid: int
    stdout_fd: int
    control_fd: int | None
    reap: Callable[[], int]
    """Collects the ended process; returns its exit code, negative for a signal."""


@dataclass(frozen=True, order=True)
class ProcessId:
    """A pid together with its start time, so that a reused pid is not mistaken for ours."""

    pid: int
    started_ticks: int = field(compare=True)

    @property
    def alive(self) -> bool:
        """Whether this very process still runs (a zombie does not)."""
        found = stat_fields(self.pid)
        return (
            found is not None
            and found[STATE] != "Z"
            and int(found[START_TIME]) == self.started_ticks
        )


class Process:
    """A running child; make it with `start_process`."""

    def __init__(self, born: Born, launch: Launch, output: Output) -> None:
        self._born = born
        self._launch = launch
        self._output = output
        loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[int] = loop.create_future()
        self._pidfd = os.pidfd_open(born.pid)
        self.id = process_id(born.pid)
        loop.add_reader(self._pidfd, self._on_exit)
        os.set_blocking(born.stdout_fd, False)
        loop.add_reader(born.stdout_fd, self._on_output)

    @property
    def pid(self) -> int:
        """The number the kernel gave it."""
        return self._born.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self._ended.result() if self._ended.done() else None

    async def wait(self) -> int:
        """Wait for the end; any number of tasks may wait."""
        return await asyncio.shield(self._ended)

    def release(self) -> None:
        """Tell a controlled child that its dependencies work; harmless when it has ended."""
        if self._born.control_fd is not None and not self._ended.done():
            with contextlib.suppress(BrokenPipeError):
                os.write(self._born.control_fd, GO)

    def send_signal(self, number: signal.Signals) -> None:
        """Signal it; does nothing once it has ended."""
        if not self._ended.done():
            signal.pidfd_send_signal(self._pidfd, number)

    async def stop(self) -> int:
        """Ask it to stop, and make it stop when its time is up; returns its exit code."""
        self.send_signal(self._launch.stop_signal)
        try:
            async with asyncio.timeout(self._launch.stop_timeout_s):
                return await self.wait()
        except TimeoutError:
            self.send_signal(signal.SIGKILL)
            return await self.wait()

    def _on_exit(self) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._pidfd)
        code = self._born.reap()
        os.close(self._pidfd)
        if self._born.control_fd is not None:
            os.close(self._born.control_fd)
        try:
            self._on_output()
        finally:  # where it goes may be a disk that fails; the end must be told all the same
            loop.remove_reader(self._born.stdout_fd)
            os.close(self._born.stdout_fd)
            self._ended.set_result(code)

    def _on_output(self) -> None:
        try:
            while chunk := os.read(self._born.stdout_fd, READ_BYTES):
                self._output(chunk)
        except BlockingIOError:
            return
        asyncio.get_running_loop().remove_reader(self._born.stdout_fd)

    @override
    def __repr__(self) -> str:
        return f"<Process {self._launch.command[0]} pid={self.pid} code={self.returncode}>"


def start_process(launch: Launch, output: Output, *, stdin: bytes = b"") -> Process:
    """Start a child in its own session; it gets its stop signal when this process dies."""
    parent = os.getpid()

    def in_child() -> None:
        if launch.confinement is not None:
            launch.confinement.enter()
        die_with_parent(launch.stop_signal, parent)

    control_read, control_write = os.pipe() if launch.controlled else (None, None)
    stdout_read, stdout_write = os.pipe()
    with _readable(stdin, control_read) as stdin_file, open(stdout_write, "wb") as stdout_file:  # noqa: PTH123 - wraps an open descriptor
        popen = subprocess.Popen(  # noqa: S603 - commands come from our own engines and plan
            list(launch.command),
            env=dict(launch.environment),
            cwd=launch.folder,
            stdin=stdin_file,
            stdout=stdout_file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=in_child,  # noqa: PLW1509 - only system calls run in it
        )
    born = Born(pid=popen.pid, stdout_fd=stdout_read, control_fd=control_write, reap=popen.wait)
    return Process(born, launch, output)


async def run_to_end(launch: Launch, *, stdin: bytes = b"", timeout_s: float) -> tuple[int, str]:
    """Run a short program; returns its exit code and everything it said.

    Raises TimeoutError after killing it.
    """
    said = bytearray()
    process = start_process(launch, said.extend, stdin=stdin)
    code = await end_of(process, timeout_s=timeout_s)
    return code, said.decode(errors="replace")


async def end_of(process: Process, *, timeout_s: float) -> int:
    """Wait for the end of a short program; kill it when it takes longer or we are cancelled.

    Killing takes the programs it started too: none of them still writes when this returns.
    """
    try:
        async with asyncio.timeout(timeout_s):
            return await process.wait()
    finally:
        if process.returncode is None:
            await kill_with_descendants(process)


async def kill_with_descendants(process: Process) -> None:
    """Kill it and everything it started; returns when all of them are gone."""
    process.send_signal(signal.SIGSTOP)  # so that it starts nothing more while we look
    family: list[ProcessId] = []
    for pid in descendants(process.pid):
        with contextlib.suppress(ProcessLookupError):
            family.append(process_id(pid))
    for member in family[1:]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(member.pid, signal.SIGKILL)
    process.send_signal(signal.SIGKILL)
    await process.wait()
    while any(member.alive for member in family):  # noqa: ASYNC110 - only the kernel knows
        await asyncio.sleep(DYING_POLL_S)


def _readable(content: bytes, control_fd: int | None) -> BinaryIO:
    """Standard input: the control pipe, or a file in memory (no disk, no command line)."""
    if control_fd is not None:
        return open(control_fd, "rb")  # noqa: PTH123 - the caller closes it
    file = open(os.memfd_create("stdin"), "r+b")  # noqa: SIM115, PTH123 - the caller closes it
    file.write(content)
    file.seek(0)
    return file


def process_id(pid: int) -> ProcessId:
    """Identify a running process beyond its number; raises ProcessLookupError when it is gone."""
    found = stat_fields(pid)
    if found is None:
        raise ProcessLookupError(pid)
    return ProcessId(pid, int(found[START_TIME]))
