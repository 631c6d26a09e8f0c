"""Reading what the platform's logs on disk really take, by level and day. Blocking: use a thread."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

from aitrading.core.logging.retention_policy_manager import LogLevel

FILES_MAX: Final = 1_024
_LEVEL: Final = re.compile(rb'"level":\s?"([A-Z]+)"')
_DAY: Final = re.compile(rb'"ts":\s?"(\d{4}-\d\d-\d\d)')
_ROTATED: Final = re.compile(r".+\.log\.\d+")
_LEVELS: Final = {level.value.encode(): level for level in LogLevel}


@dataclass
class MeasuredFile:
    """The content of one file; `inode` and `size_bytes` recognise it later."""

    path: Path
    is_rotated: bool
    inode: int
    size_bytes: int
    lines: dict[tuple[LogLevel, date], int] = field(default_factory=dict)
    stored: dict[tuple[LogLevel, date], int] = field(default_factory=dict)

    def newest(self) -> dict[LogLevel, date]:
        """The last day of each level in it."""
        last: dict[LogLevel, date] = {}
        for level, day in self.lines:
            last[level] = max(day, last.get(level, day))
        return last


def measure(folder: Path) -> Iterator[MeasuredFile]:
    """Every log file of a folder; one that vanishes while it is read is left out."""
    names = sorted(folder.glob("*.log")) + sorted(folder.glob("*.log.*"))
    for path in names[:FILES_MAX]:
        try:
            yield _read(path)
        except FileNotFoundError:
            continue


def _read(path: Path) -> MeasuredFile:
    with path.open("rb") as file:
        facts = path.stat()
        found = MeasuredFile(
            path=path,
            is_rotated=_ROTATED.fullmatch(path.name) is not None,
            inode=facts.st_ino,
            size_bytes=facts.st_size,
        )
        written_on = datetime.fromtimestamp(facts.st_mtime, UTC).date()
        for line in file:
            key = _level_of(line), _day_of(line, written_on)
            found.lines[key] = found.lines.get(key, 0) + 1
            found.stored[key] = found.stored.get(key, 0) + len(line)
    return found


def _level_of(line: bytes) -> LogLevel:
    """A line that is not ours, of an engine for example, counts as INFO."""
    match = _LEVEL.search(line)
    return _LEVELS.get(match[1], LogLevel.INFO) if match else LogLevel.INFO


def _day_of(line: bytes, written_on: date) -> date:
    """A line without a readable time is as old as its file: never older than it is."""
    match = _DAY.search(line)
    try:
        return date.fromisoformat(match[1].decode()) if match else written_on
    except ValueError:
        return written_on
