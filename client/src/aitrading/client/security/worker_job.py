"""The job of Windows that workers run in: none outlives the client, however that one ended.

The client makes the job and holds its only handle; when that is closed, by the client or by the
system after a crash, Windows ends every worker. A worker puts itself into the job before it opens a
terminal, so nothing of it ran outside, and reads its own limits back. What a worker starts is
outside: the terminal is its owner's program, with charts and robots of its own, and goes on.
"""

import ctypes
import secrets
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Final

from aitrading.client.security.measures import Measure, UnreadableError
from aitrading.client.security.windows_library import kernel32, last_error, this_process

KILL_ON_JOB_CLOSE: Final = 0x2000
SILENT_BREAKAWAY_OK: Final = 0x1000
DIE_ON_UNHANDLED_EXCEPTION: Final = 0x0400
PROCESS_MEMORY: Final = 0x0100
NO_SYSTEM_PARAMETERS: Final = 0x08
NO_DISPLAY_SETTINGS: Final = 0x10
NO_EXIT_WINDOWS: Final = 0x80
WORKER_MEMORY_BYTES: Final = 4 * 1024**3
"""A year of ticks in one answer is below one GiB; what wants more than this has gone wrong."""
_DESKTOP: Final = NO_SYSTEM_PARAMETERS | NO_DISPLAY_SETTINGS | NO_EXIT_WINDOWS
_EXTENDED_LIMITS: Final = 9
_UI_RESTRICTIONS: Final = 4
_ASSIGN_PROCESS: Final = 0x1
_QUERY: Final = 0x4
_NOT_TOLD: Final = "the client asked for it when it made the job; this system does not confirm it"


class BasicLimits(ctypes.Structure):
    """JOBOBJECT_BASIC_LIMIT_INFORMATION."""

    _fields_ = (
        ("process_time", ctypes.c_int64),
        ("job_time", ctypes.c_int64),
        ("flags", ctypes.c_uint32),
        ("working_set_min", ctypes.c_size_t),
        ("working_set_max", ctypes.c_size_t),
        ("processes", ctypes.c_uint32),
        ("affinity", ctypes.c_size_t),
        ("priority", ctypes.c_uint32),
        ("scheduling", ctypes.c_uint32),
    )


class ExtendedLimits(ctypes.Structure):
    """JOBOBJECT_EXTENDED_LIMIT_INFORMATION."""

    _fields_ = (
        ("basic", BasicLimits),
        ("io", ctypes.c_uint64 * 6),
        ("process_memory", ctypes.c_size_t),
        ("job_memory", ctypes.c_size_t),
        ("process_memory_peak", ctypes.c_size_t),
        ("job_memory_peak", ctypes.c_size_t),
    )


@contextmanager
def worker_job() -> Generator[str]:
    """A job for the time of the block, by its name; empty where the system has none to give."""
    name = f"Local\\aitrading-{secrets.token_hex(16)}"
    try:
        library = kernel32()
    except UnreadableError:
        yield ""
        return
    made = library.CreateJobObjectW(None, name)
    if not made:
        yield ""
        return
    job = ctypes.c_void_p(made)
    try:
        _limit(library, job)
        yield name
    finally:
        library.CloseHandle(job)


def _limit(library: Any, job: ctypes.c_void_p) -> None:
    """Ask for the limits; each worker reads back whether they hold."""
    limits = ExtendedLimits()
    limits.basic.flags = (
        KILL_ON_JOB_CLOSE | DIE_ON_UNHANDLED_EXCEPTION | SILENT_BREAKAWAY_OK | PROCESS_MEMORY
    )
    limits.process_memory = WORKER_MEMORY_BYTES
    size = ctypes.sizeof(limits)
    library.SetInformationJobObject(job, _EXTENDED_LIMITS, ctypes.byref(limits), size)
    desktop = ctypes.c_uint32(_DESKTOP)
    library.SetInformationJobObject(job, _UI_RESTRICTIONS, ctypes.byref(desktop), 4)


def job_measures(name: str) -> tuple[Measure, ...]:
    """What the job does for the worker that asks; the first one joins it."""
    return (
        Measure(
            name="in-job", against="a worker beyond the client's reach",
            read=lambda: _with_job(name, _QUERY, _is_in), is_on=bool,
            apply=lambda: _join(name),
        ),
        Measure(
            name="ends-with-client", against="a worker that goes on alone, or hangs in a crash",
            read=lambda: int(_own_limits().basic.flags),
            is_on=_all_of(KILL_ON_JOB_CLOSE | DIE_ON_UNHANDLED_EXCEPTION), cannot=_NOT_TOLD,
        ),
        Measure(
            name="memory-limit", against="a worker that takes all memory of the machine",
            read=lambda: _own_limits().process_memory,
            is_on=lambda limit: limit == WORKER_MEMORY_BYTES, cannot=_NOT_TOLD,
        ),
        Measure(
            name="desktop-limits", against="a worker that logs its user off or changes settings",
            read=_own_desktop_limits, is_on=_all_of(_DESKTOP), cannot=_NOT_TOLD,
        ),
    )  # fmt: skip


def _all_of(flags: int) -> Callable[[int], bool]:
    return lambda state: state & flags == flags


def _with_job(name: str, access: int, act: Callable[[Any, ctypes.c_void_p], int]) -> int:
    """Do it with a handle to the job that is closed again: one left open would keep the job."""
    library = kernel32()
    if not name:
        raise UnreadableError("the client could make no job")
    job = library.OpenJobObjectW(access, False, name)
    if not job:
        raise last_error("the client's job")
    try:
        return act(library, ctypes.c_void_p(job))
    finally:
        library.CloseHandle(ctypes.c_void_p(job))


def _is_in(library: Any, job: ctypes.c_void_p) -> int:
    answer = ctypes.c_int(0)
    if not library.IsProcessInJob(this_process(library), job, ctypes.byref(answer)):
        raise last_error("telling whether it is in the job")
    return answer.value


def _join(name: str) -> None:
    def assign(library: Any, job: ctypes.c_void_p) -> int:
        if not library.AssignProcessToJobObject(job, this_process(library)):
            raise last_error("joining the client's job")
        return 1

    _with_job(name, _ASSIGN_PROCESS, assign)


def _own_limits() -> ExtendedLimits:
    """Of the job that this process is in; without a handle, so that none is left open."""
    limits = ExtendedLimits()
    _ask(_EXTENDED_LIMITS, limits)
    return limits


def _own_desktop_limits() -> int:
    flags = ctypes.c_uint32(0)
    _ask(_UI_RESTRICTIONS, flags)
    return flags.value


def _ask(what: int, into: "ctypes.Structure | ctypes.c_uint32") -> None:
    done = kernel32().QueryInformationJobObject(
        None, what, ctypes.byref(into), ctypes.sizeof(into), None
    )
    if not done:
        raise last_error("telling the limits of its job")
