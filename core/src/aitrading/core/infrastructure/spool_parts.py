"""Parts of the spool that know nothing of files: limits, figures, who waits for what."""

import asyncio
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from aitrading.core.infrastructure.segment_files import SealedSegment
from aitrading.core.kit.errors import AitradingError
from aitrading.core.protocol.segment import Buffer, Record, record_bytes

NEWEST_BYTES_MAX: Final = 4 * 1024**2
"""A larger group is not kept in memory: its reader is behind and reads files anyway."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SpoolLimits:
    """What the spool may use and when it completes a segment."""

    limit_bytes: int = 8 * 1024**3
    """All segments together, on disk and on their way there."""
    segment_bytes: int = 16 * 1024**2
    """A segment is sealed before it would grow beyond this."""
    segment_age_ms: int = 1_000
    """A segment is sealed when its first record is this old (by `maintain`)."""
    small_bytes: int = 0
    """A segment below this size may become older: handing over many small ones costs the most."""
    small_age_ms: int = 1_000
    """Age at which a small segment is sealed as well."""
    pending_bytes: int = 64 * 1024**2
    """Appended and not yet on disk."""
    preallocate: bool = False
    """Reserve a segment's space at its creation, so that a full disk shows early."""

    def age_limit_ms(self, size_bytes: int) -> int:
        """How old a segment of this size may become."""
        if size_bytes >= self.small_bytes:
            return self.segment_age_ms
        return max(self.segment_age_ms, self.small_age_ms)


@dataclass(frozen=True, kw_only=True, slots=True)
class SpoolStatistics:
    """A snapshot for health and metrics."""

    next_position: int
    durable_position: int
    used_bytes: int
    limit_bytes: int
    pending_bytes: int
    sealed_segments: int
    sealed_bytes: int
    groups: int
    synced_bytes: int
    sync_ns_last: int
    sync_ns_max: int
    disk_full: int
    failed: bool


class DurabilityWaiters:
    """Who waits for which position to become durable."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []

    def wait_for(self, position: int) -> asyncio.Future[None]:
        """A future that resolves with the position's durability or fails with its loss."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((position, future))
        return future

    def settle(self, durable_position: int) -> None:
        """Tell everyone who waits for this position or an earlier one."""
        waiting = self._waiting
        self._waiting = [pair for pair in waiting if pair[0] > durable_position]
        for position, future in waiting:
            if position <= durable_position and not future.done():
                future.set_result(None)

    def fail(self, error: AitradingError) -> None:
        """Tell everyone that it will not happen."""
        waiting, self._waiting = self._waiting, []
        for _, future in waiting:
            if not future.done():
                future.set_exception(error)


class NewestGroup:
    """What became durable last, as it was appended: who follows closely needs no disk to read it."""

    def __init__(self, first: int = 0, records: Sequence[tuple[int, Buffer]] = ()) -> None:
        size = sum(record_bytes(len(payload)) for _, payload in records)
        self._first = first
        self._records = records if size <= NEWEST_BYTES_MAX else ()

    def __contains__(self, position: int) -> bool:
        return self._first <= position < self._first + len(self._records)

    def read(self, position: int, max_bytes: int) -> list[Record]:
        """From a position of the group on: some, at least one."""
        found: list[Record] = []
        for index in range(position - self._first, len(self._records)):
            kind, payload = self._records[index]
            max_bytes -= record_bytes(len(payload))
            if found and max_bytes < 0:
                break
            found.append(Record(self._first + index, kind, memoryview(payload)))
        return found


class SealedShelf:
    """Complete segments that wait for their reader, oldest first."""

    def __init__(self, segments: Iterable[SealedSegment]) -> None:
        self._segments = list(segments)
        self._size_bytes = sum(segment.size_bytes for segment in self._segments)
        self._changed = asyncio.Event()

    @property
    def segments(self) -> list[SealedSegment]:
        """All of them."""
        return list(self._segments)

    @property
    def size_bytes(self) -> int:
        """What they take on disk."""
        return self._size_bytes

    def __len__(self) -> int:
        return len(self._segments)

    def add(self, segments: Sequence[SealedSegment]) -> None:
        """Put new ones behind the others and wake whoever waits."""
        self._segments += segments
        self._size_bytes += sum(segment.size_bytes for segment in segments)
        self.wake()

    def remove(self, segments: Iterable[SealedSegment]) -> None:
        """Forget some."""
        gone = {segment.segment_id for segment in segments}
        self._segments = [kept for kept in self._segments if kept.segment_id not in gone]
        self._size_bytes = sum(segment.size_bytes for segment in self._segments)

    def first_after(self, segment_id: int) -> SealedSegment | None:
        """The oldest one with a higher id."""
        return next((one for one in self._segments if one.segment_id > segment_id), None)

    def first_reaching(self, position: int) -> SealedSegment | None:
        """The oldest one that holds a position or what follows it."""
        index = bisect_left(self._segments, position, key=lambda one: one.last_position)
        return self._segments[index] if index < len(self._segments) else None

    def wake(self) -> None:
        """Let whoever waits look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def changed(self) -> None:
        """Return after the next `add` or `wake`."""
        await self._changed.wait()
