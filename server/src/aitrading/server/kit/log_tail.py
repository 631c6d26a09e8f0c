"""Following a log file that somebody else writes and rotates, from now on and within bounds."""

import asyncio
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

EDGE_LOG: Final = Path("logs", "envoy.log")
"""The edge's access log, below the home."""
MAX_READ_BYTES: Final = 1 << 20
"""At once; about 1,800 records of the edge."""
MAX_BEHIND_BYTES: Final = 8 << 20
"""Further behind, the oldest lines are skipped and counted."""
MAX_LINE_BYTES: Final = 16 << 10


class LogTail:
    """Whole lines that came since the last time; a file that is missing has none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = -1
        self._rest = b""
        self._lock = threading.Lock()
        self._closed = False
        self._reading: asyncio.Future[list[bytes]] | None = None
        self.skipped_bytes = 0

    def begin(self) -> None:
        """What is there already is not read."""
        with self._lock, suppress(OSError):
            self._closed = False
            self._close()
            self._open()
            os.lseek(self._file, 0, os.SEEK_END)

    def lines(self) -> list[bytes]:
        """What came; blocks for a disk, never for more lines."""
        with self._lock:
            content = self._content()  # first: what is skipped takes the rest of its line with it
            *lines, self._rest = (self._rest + content).split(b"\n")
            if len(self._rest) > MAX_LINE_BYTES:
                self._rest = b""
        return [line for line in lines if len(line) <= MAX_LINE_BYTES]

    async def read(self) -> list[bytes]:
        """As `lines`, beside the loop; what a cancelled call had read, the next one gives."""
        if self._reading is None:
            self._reading = asyncio.get_running_loop().run_in_executor(None, self.lines)
        try:
            lines = await asyncio.shield(self._reading)
        except Exception:
            self._reading = None
            raise
        self._reading = None
        return lines

    def close(self) -> None:
        """Read no more; waits for a reader that is still at it."""
        with self._lock:
            self._closed = True
            self._close()

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _content(self) -> bytes:
        with suppress(OSError):
            if self._closed:
                return b""
            if self._file < 0:
                self._open()
            behind = os.fstat(self._file).st_size - os.lseek(self._file, 0, os.SEEK_CUR)
            if behind > MAX_BEHIND_BYTES:
                self.skipped_bytes += behind - MAX_READ_BYTES
                os.lseek(self._file, -MAX_READ_BYTES, os.SEEK_END)
                self._rest = b""
            content = os.read(self._file, MAX_READ_BYTES)
            if not content and os.fstat(self._file).st_ino != self._path.stat().st_ino:
                self._close()  # rotated: what follows is in a file of the same name
            return content
        return b""

    def _open(self) -> None:
        self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
