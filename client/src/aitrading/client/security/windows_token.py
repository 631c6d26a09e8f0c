"""What the process may do to the machine: its privileges are given up, all but two, for good.

An elevated process holds some twenty: to read every file, to debug every program, to load drivers.
The client needs none of them, and neither does anything that it starts.
"""

import ctypes
import struct
from typing import Any, Final

from aitrading.client.security.measures import Measure
from aitrading.client.security.windows_library import advapi32, kernel32, last_error, this_process

KEPT: Final = frozenset({23, 33})
"""SeChangeNotify, which every program has, and SeIncreaseWorkingSet, to lock secrets in memory."""
_REMOVED: Final = 0x4
_PRIVILEGES: Final = 3
_QUERY_AND_ADJUST: Final = 0x8 | 0x20
_ENTRY: Final = struct.Struct("<QI")
_COUNT: Final = struct.Struct("<I")
_MAX_BYTES: Final = 4096


def privileges_measure() -> Measure:
    """Counts what is held beyond the two, and gives it up."""
    return Measure(
        name="privileges", against="a taken-over client that reads, debugs or loads what it likes",
        read=lambda: len(_held() - KEPT), is_on=lambda count: count == 0, apply=_give_up,
    )  # fmt: skip


def _held() -> set[int]:
    library, token = _token()
    try:
        buffer = (ctypes.c_ubyte * _MAX_BYTES)()
        size = ctypes.c_uint32(0)
        done = library.GetTokenInformation(
            token, _PRIVILEGES, buffer, _MAX_BYTES, ctypes.byref(size)
        )
        if not done:
            raise last_error("telling the privileges")
    finally:
        kernel32().CloseHandle(token)
    data = bytes(buffer)
    (count,) = _COUNT.unpack_from(data)
    entries = _ENTRY.iter_unpack(data[_COUNT.size : _COUNT.size + count * _ENTRY.size])
    return {number for number, _ in entries}


def _give_up() -> None:
    """Remove, not only switch off: no later code gets them back."""
    unwanted = sorted(_held() - KEPT)
    data = _COUNT.pack(len(unwanted))
    data += b"".join(_ENTRY.pack(number, _REMOVED) for number in unwanted)
    library, token = _token()
    try:
        if not library.AdjustTokenPrivileges(token, 0, data, 0, None, None):
            raise last_error("giving up privileges")
    finally:
        kernel32().CloseHandle(token)


def _token() -> tuple[Any, ctypes.c_void_p]:
    library, token = advapi32(), ctypes.c_void_p()
    process = this_process(kernel32())
    if not library.OpenProcessToken(process, _QUERY_AND_ADJUST, ctypes.byref(token)):
        raise last_error("its token")
    return library, token
