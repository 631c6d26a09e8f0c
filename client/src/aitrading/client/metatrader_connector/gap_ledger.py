"""What is lost is written down: one line of JSON per gap, never removed."""

import asyncio
import os
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Final
from uuid import UUID

import msgspec

from aitrading.core.infrastructure.files import open_lines, write_all

LEDGER_NAME: Final = "gaps.jsonl"
TOLD_AGAIN_MAX: Final = 1_024
"""Newest gaps that are told to the server again after each connection."""


class GapRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Sequences of a stream that this client can no longer send."""

    stream: UUID
    symbol: str
    first_missing: int
    last_missing: int
    reason: str
    noticed_ns: int
    from_ms: int = 0
    until_ms: int = 0
    """UTC; where no sequence says what is missing."""


class GapLedger:
    """The file of gaps in a journal's folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / LEDGER_NAME
        self.added = 0
        self.newest: deque[GapRecord] = deque(self._read(), maxlen=TOLD_AGAIN_MAX)

    def _read(self) -> list[GapRecord]:
        """The end of the file; a line that a crash cut off is left out."""
        if not self._path.exists():
            return []
        found: list[GapRecord] = []
        for line in self._path.read_bytes().splitlines()[-TOLD_AGAIN_MAX:]:
            with suppress(msgspec.MsgspecError):
                found.append(msgspec.json.decode(line, type=GapRecord))
        return found

    async def add(self, gap: GapRecord) -> None:
        """Return when the gap is on disk."""
        await asyncio.to_thread(self._append, msgspec.json.encode(gap) + b"\n")
        self.added += 1
        self.newest.append(gap)

    def _append(self, line: bytes) -> None:
        descriptor = open_lines(self._path)
        try:
            size = os.fstat(descriptor).st_size
            try:
                write_all(descriptor, line)
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, size)  # the next line would go on in half of this one
                raise
        finally:
            os.close(descriptor)
