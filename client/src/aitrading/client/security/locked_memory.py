"""Memory of our own that is kept out of swap and out of core files, as far as the system lets us.

Each piece has pages of its own: unlocking one never unlocks a neighbour, and what is wiped was in
one place only.
"""

import ctypes
import mmap
import sys
from typing import Any, Final

VMLCK: Final = "VmLck:"
PAGE_BYTES: Final = mmap.PAGESIZE


class LockedMemory:
    """Anonymous pages; `is_locked` tells whether the system keeps them in memory."""

    __slots__ = ("_pages", "_view", "is_locked", "size")

    def __init__(self, size: int) -> None:
        whole = max(1, -(-size // PAGE_BYTES)) * PAGE_BYTES
        self.size = size
        self._pages = mmap.mmap(-1, whole)
        self.is_locked = _lock(self._pages, whole)
        self._view = memoryview(self._pages)

    @property
    def view(self) -> memoryview:
        """The bytes themselves."""
        return self._view[: self.size]

    def wipe(self) -> None:
        """Overwrite every page with zeros."""
        self._view[:] = bytes(len(self._view))


def locked_kib() -> int:
    """How much memory of this process is locked; Linux tells, others do not."""
    with open("/proc/self/status", encoding="utf-8") as status:  # noqa: PTH123 - one line of it
        for line in status:
            if line.startswith(VMLCK):
                return int(line.split()[1])
    return 0


def _lock(pages: mmap.mmap, size: int) -> bool:
    # The object only lends its address; mmap unmaps the pages, and their lock, with the last view.
    address = ctypes.addressof(ctypes.c_char.from_buffer(pages))
    if sys.platform == "win32":
        kernel32: Any = ctypes.WinDLL("kernel32", use_last_error=True)
        return bool(kernel32.VirtualLock(ctypes.c_void_p(address), ctypes.c_size_t(size)))
    libc: Any = ctypes.CDLL(None, use_errno=True)
    dont_dump: int | None = getattr(mmap, "MADV_DONTDUMP", None)
    if dont_dump is not None:
        pages.madvise(dont_dump)
    return libc.mlock(ctypes.c_void_p(address), ctypes.c_size_t(size)) == 0
