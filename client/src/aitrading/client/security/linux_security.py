"""Hardening of a Linux process: no core file, no foreign reader of memory, no gained privileges."""

import ctypes
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from aitrading.client.security.locked_memory import LockedMemory, locked_kib
from aitrading.client.security.measures import Measure, UnreadableError

PR_SET_PDEATHSIG: Final = 1
PR_GET_PDEATHSIG: Final = 2
PR_GET_DUMPABLE: Final = 3
PR_SET_DUMPABLE: Final = 4
PR_SET_NO_NEW_PRIVS: Final = 38
PR_GET_NO_NEW_PRIVS: Final = 39
PR_CAP_AMBIENT: Final = 47
PR_CAP_AMBIENT_CLEAR_ALL: Final = 4
ADDR_NO_RANDOMIZE: Final = 0x0040000
FULL_RANDOMISATION: Final = 2
ELF_TYPE_AT: Final = 16
ELF_SHARED: Final = 3
ASK_PERSONALITY: Final = 0xFFFFFFFF
_PROC: Final = Path("/proc")


def linux_measures() -> tuple[Measure, ...]:
    """Every measure of this system."""
    return (
        Measure(
            name="core-file", against="a crash that leaves secrets on the disk",
            read=_core_limits,
            is_on=lambda open_ones: open_ones == 0,
            apply=lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)),
        ),
        Measure(
            name="dumpable", against="other programs of the same user that read its memory",
            read=lambda: _prctl(PR_GET_DUMPABLE), is_on=lambda dumpable: dumpable == 0,
            apply=_setter(PR_SET_DUMPABLE, 0),
        ),
        Measure(
            name="no-new-privileges", against="a child that becomes another user",
            read=lambda: _prctl(PR_GET_NO_NEW_PRIVS), is_on=lambda flag: flag == 1,
            apply=_setter(PR_SET_NO_NEW_PRIVS, 1),
        ),
        Measure(
            name="ambient-capabilities", against="a child that is given rights of the system",
            read=_ambient_capabilities, is_on=lambda capabilities: capabilities == 0,
            apply=_setter(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL),
        ),
        Measure(
            name="aslr", against="exploits that know where things lie", read=_randomisation,
            is_on=lambda level: level == FULL_RANDOMISATION,
            cannot="only the machine's administrator sets kernel.randomize_va_space",
        ),
        Measure(
            name="aslr-executable", against="exploits that know where the interpreter lies",
            read=_executable_type, is_on=lambda kind: kind == ELF_SHARED,
            cannot="the interpreter was not built as position independent",
        ),
        Measure(
            name="stack-not-executable", against="code that is smuggled in as data",
            read=_executable_stacks, is_on=lambda count: count == 0,
            cannot="the interpreter or a library of it asked for an executable stack",
        ),
        Measure(
            name="memory-lock", against="secrets in the swap file", read=_lock_a_page,
            is_on=lambda grown_kib: grown_kib > 0,
            cannot="the limit on locked memory (ulimit -l) is too small",
        ),
    )  # fmt: skip


def worker_measures_of_linux() -> tuple[Measure, ...]:
    """What a worker has more than the client: it does not outlive who started it."""
    return (
        Measure(
            name="ends-with-client", against="a worker that goes on alone",
            read=_death_signal, is_on=lambda number: number == signal.SIGKILL,
            apply=_setter(PR_SET_PDEATHSIG, signal.SIGKILL),
        ),
    )  # fmt: skip


def tracer() -> int:
    """The process that traces this one, or 0."""
    return int(_status("TracerPid"))


def _status(name: str) -> str:
    for line in (_PROC / "thread-self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{name}:"):
            return line.split()[1]
    raise UnreadableError(f"/proc/thread-self/status names no {name}")


def _ambient_capabilities() -> int:
    """As bits."""
    return int(_status("CapAmb"), 16)


def _prctl(option: int, value: int = 0) -> int:
    libc: Any = ctypes.CDLL(None, use_errno=True)
    given = [ctypes.c_ulong(each) for each in (value, 0, 0, 0)]
    answer = int(libc.prctl(option, *given))
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl {option} failed")
    return answer


def _setter(option: int, value: int) -> Callable[[], None]:
    def set_it() -> None:
        _prctl(option, value)

    return set_it


def _death_signal() -> int:
    """The signal that comes with the parent's end; 0 is none."""
    libc: Any = ctypes.CDLL(None, use_errno=True)
    number = ctypes.c_int(0)
    if libc.prctl(PR_GET_PDEATHSIG, ctypes.byref(number), 0, 0, 0):
        raise OSError(ctypes.get_errno(), "the signal at the parent's end cannot be read")
    return number.value


def _core_limits() -> int:
    """How many of the two limits let a core file be written; "unlimited" is a negative number."""
    return sum(limit != 0 for limit in resource.getrlimit(resource.RLIMIT_CORE))


def _randomisation() -> int:
    """The kernel's level, or 0 where this process was started without it."""
    libc: Any = ctypes.CDLL(None, use_errno=True)
    if libc.personality(ctypes.c_ulong(ASK_PERSONALITY)) & ADDR_NO_RANDOMIZE:
        return 0
    return int((_PROC / "sys/kernel/randomize_va_space").read_text(encoding="utf-8"))


def _executable_type() -> int:
    with (_PROC / "self/exe").open("rb") as program:
        head = program.read(ELF_TYPE_AT + 2)
    return int.from_bytes(head[ELF_TYPE_AT:], sys.byteorder)


def _executable_stacks() -> int:
    lines = (_PROC / "self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    stacks = [line for line in lines if line.endswith("[stack]")]
    if not stacks:
        raise UnreadableError("/proc/self/maps names no stack")
    return sum("x" in line.split()[1] for line in stacks)


def _lock_a_page() -> int:
    """By how many KiB the locked memory grows when a page is locked."""
    before_kib = locked_kib()
    page = LockedMemory(1)
    return locked_kib() - before_kib if page.is_locked else 0
