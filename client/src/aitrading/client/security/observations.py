"""What around a process is suspicious: a debugger, foreign code, a changed search path.

It is reported and nothing is done against it: who owns the machine can hide all of it.
"""

import ctypes
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from aitrading.client.security.loaded_code import foreign_code
from aitrading.client.security.measures import UnreadableError

SUSPICIOUS: Final = (
    "LD_PRELOAD", "LD_AUDIT", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP",
    "PYTHONINSPECT", "PYTHONBREAKPOINT", "PYTHONPYCACHEPREFIX", "SSLKEYLOGFILE",
    "COR_ENABLE_PROFILING", "__COMPAT_LAYER",
)  # fmt: skip
"""Variables that let somebody else's code or eyes in; only their names are ever told."""


@dataclass(frozen=True, kw_only=True)
class Observations:
    """What was seen."""

    debugger: str = ""
    """What watches the process; empty when nothing does."""
    environment: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    """Libraries and modules that were loaded from elsewhere."""

    @property
    def is_quiet(self) -> bool:
        """Nothing was seen."""
        return not (self.debugger or self.environment or self.foreign)


def observe(environ: Mapping[str, str] = os.environ) -> Observations:
    """Look around once; never raises."""
    return Observations(
        debugger=_debugger(),
        environment=tuple(name for name in SUSPICIOUS if environ.get(name)),
        foreign=foreign_code(),
    )


def _debugger() -> str:
    if sys.gettrace() is not None:
        return "a trace function of Python"
    try:
        return _debugger_of_system()
    except (OSError, UnreadableError, ValueError):
        return ""


def _debugger_of_system() -> str:
    if sys.platform == "win32":
        return _windows_debugger()
    if sys.platform == "linux":
        from aitrading.client.security.linux_security import tracer  # noqa: PLC0415 - its system

        pid = tracer()
        return f"process {pid} traces it" if pid else ""
    return ""


def _windows_debugger() -> str:
    if sys.platform != "win32":
        raise UnreadableError("not Windows")
    kernel32: Any = ctypes.WinDLL("kernel32", use_last_error=True)
    kernel32.GetCurrentProcess.restype = ctypes.c_void_p
    if kernel32.IsDebuggerPresent():
        return "a debugger of this machine"
    remote = ctypes.c_int(0)
    process = ctypes.c_void_p(kernel32.GetCurrentProcess())
    kernel32.CheckRemoteDebuggerPresent(process, ctypes.byref(remote))
    return "a debugger in another process" if remote.value else ""
