"""Running on without a terminal: the parent waits until the child is ready, then leaves."""

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

READ_BYTES = 65_536
DETACHED_LOG = "up.log"


def run_detached(body: Callable[[Callable[[bytes], None]], int]) -> tuple[int, bytes]:
    """Fork; the child runs `body` and calls what it is given, with its report, once it is ready.

    Returns in the parent: the exit code (0 once ready) and the report. Never returns in the child.
    """
    read_fd, write_fd = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read_fd)
        os._exit(_child(body, write_fd))
    os.close(write_fd)
    report = _wait_for_report(read_fd, pid)
    if report:
        return 0, report
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), b""


def leave_terminal(log_folder: Path) -> None:
    """Send what is said from now on to a file instead of the terminal we were started from."""
    target = os.open(
        log_folder / DETACHED_LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
    )
    for descriptor in (1, 2):
        os.dup2(target, descriptor)
    os.close(target)


def _child(body: Callable[[Callable[[bytes], None]], int], write_fd: int) -> int:
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)

    def ready(report: bytes) -> None:
        with contextlib.suppress(BrokenPipeError):
            os.write(write_fd, report)
        os.close(write_fd)

    try:
        return body(ready)
    except BaseException:  # noqa: BLE001 - the child must end here, never in the parent's code
        return 1


def _wait_for_report(read_fd: int, pid: int) -> bytes:
    """Read until the child closes its end; Ctrl-C is passed on to it."""
    report = bytearray()
    while True:
        try:
            chunk = os.read(read_fd, READ_BYTES)
        except KeyboardInterrupt:
            os.kill(pid, signal.SIGINT)
            continue
        if not chunk:
            os.close(read_fd)
            return bytes(report)
        report += chunk
