"""What children say, kept in files that cannot grow without end."""

import io
import os
from collections import deque
from contextlib import suppress
from pathlib import Path

import msgspec
from typing_extensions import override

from aitrading.core.infrastructure.files import open_lines

LOG_FILE_LIMIT_BYTES = 16 << 20
LOG_FILES_KEPT = 3
TAIL_LINES = 8
TAIL_LINE_LIMIT = 400
"""Characters of a line that are told."""
REMEMBERED_LINE_LIMIT_BYTES = 8_192
"""Bytes of a line that are kept: a record cut short could not be read any more."""
_ERRORS = frozenset({"ERROR", "CRITICAL"})


class RotatingLog:
    """Appends the output of one child; the last lines stay at hand for messages.

    A full disk loses lines, never the platform; `lost_bytes` counts them.
    """

    def __init__(self, path: Path, *, limit_bytes: int = LOG_FILE_LIMIT_BYTES) -> None:
        self.path = path
        self.lost_bytes = 0
        self._limit_bytes = limit_bytes
        self._tail: deque[bytes] = deque(maxlen=TAIL_LINES)
        self._partial = b""
        self._is_torn = False
        self._file = open_lines(path)
        self._size_bytes = path.stat().st_size

    def write(self, chunk: bytes) -> None:
        """Append as it came; rotates between chunks."""
        self._remember(chunk)
        if self._is_torn:  # what comes now begins a line, or the torn one takes it along
            chunk = b"\n" + chunk
        written = 0
        with suppress(OSError):
            if self._size_bytes + len(chunk) > self._limit_bytes:
                self._rotate()
            written = os.write(self._file, chunk)
        self._size_bytes += written
        self.lost_bytes += len(chunk) - written
        self._is_torn = written < len(chunk)

    def tail(self) -> str:
        """The last words for a person: errors alone where there are any, else every line."""
        lines = [*self._tail, self._partial] if self._partial else [*self._tail]
        said = [_readable(line) for line in lines]
        errors = dict.fromkeys(text for level, text in said if level in _ERRORS)
        return "\n".join(errors or [text for _, text in said])

    def close(self) -> None:
        """Close the file; later writes are lost."""
        os.close(self._file)

    def _remember(self, chunk: bytes) -> None:
        *lines, rest = (self._partial + chunk).split(b"\n")
        self._tail.extend(line[:REMEMBERED_LINE_LIMIT_BYTES] for line in lines)
        self._partial = rest[:REMEMBERED_LINE_LIMIT_BYTES]

    def _rotate(self) -> None:
        os.close(self._file)
        for number in range(LOG_FILES_KEPT - 1, 0, -1):
            older = self._numbered(number)
            with suppress(FileNotFoundError):  # not there yet, or removed by a log policy
                older.replace(self._numbered(number + 1))
        self.path.replace(self._numbered(1))
        self._file = open_lines(self.path)
        self._size_bytes = 0

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")


class _Record(msgspec.Struct):
    """What a person needs of one record of a service's log."""

    level: str
    msg: str
    error_code: str = ""


def _readable(line: bytes) -> tuple[str, str]:
    """Level and sentence of a record; an engine's own line as it is, without a level."""
    try:
        record = msgspec.json.decode(line, type=_Record)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return "", line.decode(errors="replace")[:TAIL_LINE_LIMIT]
    code = f" ({record.error_code})" if record.error_code else ""
    return record.level, record.msg[:TAIL_LINE_LIMIT] + code


class LogStream(io.StringIO):
    """Text written here ends up in a rotating log; what the logging façade is given."""

    def __init__(self, log: RotatingLog) -> None:
        super().__init__()
        self._log = log

    @override
    def write(self, text: str, /) -> int:
        self._log.write(text.encode())
        return len(text)
