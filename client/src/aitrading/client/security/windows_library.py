"""The libraries of Windows that its calls live in; elsewhere there are none."""

import ctypes
import sys
from typing import Any

from aitrading.client.security.measures import UnreadableError


def kernel32() -> Any:
    """Processes, memory, jobs; raises `UnreadableError` elsewhere than on Windows."""
    library = _library("kernel32")
    for name in ("GetCurrentProcess", "GetModuleHandleW", "CreateJobObjectW", "OpenJobObjectW"):
        getattr(library, name).restype = ctypes.c_void_p
    return library


def advapi32() -> Any:
    """Tokens, security descriptors, keys of the registry; raises `UnreadableError` elsewhere."""
    return _library("advapi32")


def this_process(library: Any) -> ctypes.c_void_p:
    """A handle that means the process itself and needs no closing."""
    return ctypes.c_void_p(library.GetCurrentProcess())


def last_error(what: str) -> OSError:
    """Why a call did not do it."""
    number = ctypes.get_last_error() if sys.platform == "win32" else 0
    return OSError(f"Windows refused {what} with error {number}")


def _library(name: str) -> Any:
    if sys.platform != "win32":
        raise UnreadableError(f"{sys.platform} is not Windows")
    return ctypes.WinDLL(name, use_last_error=True)
