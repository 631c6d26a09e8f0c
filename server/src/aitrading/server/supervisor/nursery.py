"""Where services are born: a process that loads what all of them share and forks each from it.

Loading that once instead of once per service shortens a start and lets services share the pages.
The nursery knows no secret: no bundle, no password, no key is ever in its memory. A newborn is
handed to the supervisor as its own child, so the nursery may die without harm to anybody.
"""

import gc
import importlib
import os
import runpy
import signal
import socket
import sys
from pathlib import Path

import msgspec

from aitrading.server.engines import linux

REQUEST_LIMIT_BYTES = 65_536
DESCRIPTORS = 2
SHARED = (
    "uvloop",
    "asyncpg",
    "nats.aio.client",
    "cryptography.x509",
    "aitrading.server.authority.installation",
    "aitrading.server.kit.bus_nats",
    "aitrading.server.kit.internal_client",
    "aitrading.server.kit.postgres",
    "aitrading.server.kit.registry_nats",
    "aitrading.server.kit.service_runner",
)


class BirthRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to become; standard input and output come along as descriptors."""

    number: int
    module: str
    arguments: tuple[str, ...]
    command: tuple[str, ...]
    environment: dict[str, str]
    folder: str
    stop_signal: int


class BirthNotice(msgspec.Struct, frozen=True, kw_only=True):
    """A newborn tells the supervisor who it is."""

    number: int
    pid: int


def main(channel_fd: int, supervisor_pid: int) -> None:
    """Fork on request until the supervisor's end of the channel closes.

    Returns in the newborn as well: the interpreter then ends as it does for any program.
    """
    linux.die_with_parent(signal.SIGTERM, supervisor_pid)
    for name in SHARED:
        importlib.import_module(name)
    if len(os.listdir("/proc/self/task")) != 1:  # noqa: PTH208 - only counted
        sys.exit("a library started a thread; forking would not be safe")
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=channel_fd) as channel:
        while True:
            data, descriptors, _, _ = socket.recv_fds(channel, REQUEST_LIMIT_BYTES, DESCRIPTORS)
            if not data:
                return
            request = msgspec.json.decode(data, type=BirthRequest)
            if os.fork() == 0:
                break
            for descriptor in descriptors:
                os.close(descriptor)
            os.wait()
        _become_child_of(supervisor_pid, signal.Signals(request.stop_signal))
        _settle_in(request, descriptors)
        notice = BirthNotice(number=request.number, pid=os.getpid())
        channel.send(msgspec.json.encode(notice))
    runpy.run_module(request.module, run_name="__main__", alter_sys=True)


def _become_child_of(supervisor_pid: int, stop_signal: signal.Signals) -> None:
    """Lose the parent; the supervisor, which adopts orphans right now, takes its place."""
    if os.fork() != 0:
        os._exit(0)
    os.setsid()
    while os.getppid() not in (supervisor_pid, 1):
        os.sched_yield()
    linux.die_with_parent(stop_signal, supervisor_pid)


def _settle_in(request: BirthRequest, descriptors: list[int]) -> None:
    stdin_fd, stdout_fd = descriptors
    for source, target in ((stdin_fd, 0), (stdout_fd, 1), (stdout_fd, 2)):
        os.dup2(source, target)
    os.close(stdin_fd)
    os.close(stdout_fd)
    os.chdir(Path(request.folder))
    os.environ.clear()
    os.environ.update(request.environment)
    sys.argv[:] = [request.module, *request.arguments]
    linux.show_as(request.command)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
