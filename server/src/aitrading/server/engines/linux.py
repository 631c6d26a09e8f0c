"""The few calls to the kernel that Python 3.11 does not wrap."""

import ctypes
import os
import signal
from collections.abc import Sequence
from pathlib import Path

CLONE_NEWNS = 0x0002_0000
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x4_0000
PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38
PR_SET_CHILD_SUBREAPER = 36
_ARG_START = 45
_ARG_END = 46
_TIME_ERROR = 5
_TIMEX_BYTES = 512

_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(signal_number: signal.Signals, parent_pid: int) -> None:
    """Ask the kernel to signal this process when its parent thread ends; call it after fork.

    The process ends at once if the parent died before the request was made.
    """
    _check(_libc.prctl(PR_SET_PDEATHSIG, int(signal_number), 0, 0, 0), "prctl(PDEATHSIG)")
    if os.getppid() != parent_pid:
        os._exit(1)


def forbid_new_privileges() -> None:
    """No program this process executes can gain rights by its file mode."""
    _check(_libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl(NO_NEW_PRIVS)")


def adopt_orphans(*, adopt: bool) -> None:
    """While true, descendants that lose their parent become our own children."""
    code = _libc.prctl(PR_SET_CHILD_SUBREAPER, int(adopt), 0, 0, 0)
    _check(code, "prctl(CHILD_SUBREAPER)")


def show_as(command: Sequence[str]) -> None:
    """Let `ps` show another command line for this process, cut to the room of the first one."""
    fields = Path("/proc/self/stat").read_text(encoding="ascii", errors="replace")
    numbers = fields.rpartition(")")[2].split()
    start, end = int(numbers[_ARG_START]), int(numbers[_ARG_END])
    text = b"\0".join(os.fsencode(word) for word in command)[: end - start - 1]
    ctypes.memmove(start, text.ljust(end - start, b"\0"), end - start)


def private_mounts() -> None:
    """Leave the shared mount namespace: mounts made from here on are seen by nobody else."""
    _check(_libc.unshare(CLONE_NEWNS), "unshare(NEWNS)")
    _check(_libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "mount(private)")


def mount_tmpfs(target: Path) -> None:
    """Put an empty folder in memory over `target`."""
    code = _libc.mount(b"tmpfs", os.fsencode(target), b"tmpfs", 0, b"mode=0755,size=1m")
    _check(code, f"mount(tmpfs, {target})")


def mount_bind(source: Path, target: Path) -> None:
    """Show `source` at `target` too."""
    code = _libc.mount(os.fsencode(source), os.fsencode(target), None, MS_BIND | MS_REC, None)
    _check(code, f"mount(bind, {source})")


def _check(code: int, what: str) -> None:
    if code != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def clock_is_synchronised() -> bool | None:
    """Whether the kernel says that a time service keeps the clock right; None when it does not say."""
    buffer = ctypes.create_string_buffer(_TIMEX_BYTES)
    state = _libc.adjtimex(buffer)
    return None if state < 0 else state != _TIME_ERROR
