"""What the spool's worker thread does with segments; blocking, one call at a time."""

import contextlib
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple
from uuid import UUID

from aitrading.core.infrastructure.files import sync_folder
from aitrading.core.infrastructure.segment_codecs import (
    FRAME_BYTES,
    HEAD_BYTES,
    SealedCodec,
    reader_of,
)
from aitrading.core.infrastructure.segment_files import (
    CORRUPT_SUFFIX,
    Recovery,
    SealedSegment,
    SegmentWriter,
    Sync,
    explained,
    set_aside,
)
from aitrading.core.infrastructure.spool_errors import SPOOL_POSITION_UNKNOWN
from aitrading.core.kit.clock import Clock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.protocol.error_codes import SEGMENT_CORRUPT
from aitrading.core.protocol.sealed_segment import FRAME_OVERHEAD_BYTES
from aitrading.core.protocol.segment import (
    SEAL_BYTES,
    Buffer,
    Record,
    SegmentHeader,
    record_bytes,
)
from aitrading.core.security.file_sealing import FileKeys

CURSORS_MAX: Final = 16
"""Reading places remembered, so that reading on does not start at a segment's beginning."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Committed:
    """What became of one job: how far the spool is durable now, and why it is not further."""

    durable_position: int
    sealed: tuple[SealedSegment, ...]
    open_bytes: int
    open_records: int
    written_bytes: int
    took_ns: int
    error: AitradingError | None


class SpoolStore:
    """The files of one spool: appended to, sealed, read, deleted."""

    def __init__(
        self,
        *,
        folder: Path,
        spool: UUID,
        recovery: Recovery,
        segment_bytes: int,
        preallocate: bool,
        clock: Clock,
        sync: Sync,
        keys: FileKeys,
    ) -> None:
        self._folder = folder
        self._spool = spool
        self._segment_bytes = segment_bytes
        self._preallocate_bytes = segment_bytes if preallocate else 0
        self._clock = clock
        self._sync = sync
        self._sealed = list(recovery.sealed)
        self._next_segment_id = recovery.next_segment_id
        self._next_position = recovery.next_position
        self._keys = keys
        self._writer = (
            SegmentWriter.reopen(recovery.open, keys, sync=sync) if recovery.open else None
        )
        self._doomed: list[SealedSegment] = []
        self._cursors: OrderedDict[tuple[Path, int], tuple[int, int]] = OrderedDict()

    @property
    def folder(self) -> Path:
        """Where the files are."""
        return self._folder

    @property
    def open_bytes(self) -> int:
        """Size of the open segment."""
        return self._writer.end_bytes if self._writer else 0

    @property
    def open_records(self) -> int:
        """Records in the open segment."""
        return self._writer.records if self._writer else 0

    def commit(self, records: list[tuple[int, Buffer]]) -> Committed:
        """Write and sync records (kind, payload); what came before an error is durable."""
        began_ns = self._clock.monotonic_ns()
        sealed: list[SealedSegment] = []
        written, start, error = 0, 0, None
        try:
            while start < len(records):
                writer = self._writer_with_room(len(records[start][1]), sealed)
                stop = self._fitting(records, start, writer.end_bytes)
                written += writer.append(records[start:stop])
                self._next_position, start = writer.next_position, stop
        except AitradingError as exc:
            error = exc
        return self._outcome(sealed, written, began_ns, error)

    def seal(self) -> Committed:
        """Complete the open segment unless it is empty."""
        began_ns = self._clock.monotonic_ns()
        sealed: list[SealedSegment] = []
        error = None
        try:
            if self._writer is not None and self._writer.records:
                self._roll(self._writer, sealed)
        except AitradingError as exc:
            error = exc
        return self._outcome(sealed, 0, began_ns, error)

    def delete(self, segments: Sequence[SealedSegment]) -> None:
        """Remove segments whose reader has them; harmless when repeated.

        One file always stays, so that ids and positions go on after a restart. When the disk is
        too full for a new file, the newest of them stays for that until a later call.
        """
        self._doomed += segments
        keeper = self._keeper()
        with explained(self._folder):
            for segment in self._doomed:
                if segment is not keeper:
                    segment.path.unlink(missing_ok=True)
            sync_folder(self._folder)
        gone = {segment.segment_id for segment in segments}
        self._sealed = [kept for kept in self._sealed if kept.segment_id not in gone]
        self._doomed = [keeper] if keeper else []

    def _keeper(self) -> SealedSegment | None:
        """The doomed segment that must stay because nothing else carries the counters."""
        if self._writer is None:
            with contextlib.suppress(AitradingError):
                self._create_writer()
        if self._writer is not None or not self._doomed:
            return None
        return max(self._doomed, key=lambda segment: segment.segment_id)

    def quarantine(self, segment: SealedSegment) -> Path:
        """Put a damaged segment aside; it is no longer part of the spool."""
        with explained(self._folder):
            path = set_aside(segment.path, CORRUPT_SUFFIX)
        self._sealed = [kept for kept in self._sealed if kept.segment_id != segment.segment_id]
        return path

    def read(self, position: int, max_bytes: int) -> list[Record]:
        """Durable records from a position on, of one segment; empty behind the last one."""
        if position >= self._next_position:
            return []
        place = self._place(position)
        with explained(self._folder), place.path.open("rb") as file:
            reader = reader_of(file.read(HEAD_BYTES), self._keys)
            start = (reader.header_bytes, place.first)
            offset, at = self._cursors.pop((place.path, position), start)
            while offset < place.content_bytes:
                file.seek(offset)
                piece = file.read(min(max_bytes, place.content_bytes - offset))
                found = reader.read(piece, at, position)
                if not found.used_bytes:
                    max_bytes *= 2
                offset, at = offset + found.used_bytes, at + found.taken
                if at > position:
                    self._remember(place.path, at, offset)
                    return found.records
        raise SEGMENT_CORRUPT.error(offset=offset, reason="records are missing")

    def close(self) -> None:
        """Let go of the files; nothing is lost."""
        if self._writer is not None:
            self._writer.close()

    def _writer_with_room(self, payload_bytes: int, sealed: list[SealedSegment]) -> SegmentWriter:
        size = record_bytes(payload_bytes) + FRAME_OVERHEAD_BYTES + SEAL_BYTES
        writer = self._writer
        if writer and writer.in_the_clear:
            return self._successor(writer, sealed)
        if writer and writer.records and writer.end_bytes + size > self._segment_bytes:
            self._roll(writer, sealed)
        return self._writer or self._create_writer()

    def _successor(self, writer: SegmentWriter, sealed: list[SealedSegment]) -> SegmentWriter:
        """A sealed segment behind the one that an older version left open."""
        if writer.records:
            self._roll(writer, sealed)
            return self._create_writer()
        fresh = self._create_writer()  # carries the counters before the old file goes
        writer.close()
        with explained(self._folder):
            writer.path.unlink()
        return fresh

    def _create_writer(self) -> SegmentWriter:
        header = SegmentHeader(
            spool=self._spool,
            segment_id=self._next_segment_id,
            first_position=self._next_position,
            created_ns=self._clock.now_ns(),
        )
        self._writer = SegmentWriter.create(
            self._folder,
            SealedCodec.new(header, self._keys),
            sync=self._sync,
            preallocate_bytes=self._preallocate_bytes,
        )
        self._next_segment_id += 1
        return self._writer

    def _fitting(self, records: list[tuple[int, Buffer]], start: int, used: int) -> int:
        frame = record_bytes(len(records[start][1]))
        used += frame + FRAME_OVERHEAD_BYTES + SEAL_BYTES
        stop = start + 1
        while stop < len(records):
            size = record_bytes(len(records[stop][1]))
            used, frame = used + size, frame + size
            if frame > FRAME_BYTES:
                used, frame = used + FRAME_OVERHEAD_BYTES, size
            if used > self._segment_bytes:
                break
            stop += 1
        return stop

    def _roll(self, writer: SegmentWriter, sealed: list[SealedSegment]) -> None:
        segment = writer.seal(self._clock.now_ns())
        self._writer = None
        self._sealed.append(segment)
        sealed.append(segment)

    def _outcome(
        self,
        sealed: list[SealedSegment],
        written: int,
        began_ns: int,
        error: AitradingError | None,
    ) -> Committed:
        return Committed(
            durable_position=self._next_position - 1,
            sealed=tuple(sealed),
            open_bytes=self.open_bytes,
            open_records=self.open_records,
            written_bytes=written,
            took_ns=self._clock.monotonic_ns() - began_ns,
            error=error,
        )

    def _place(self, position: int) -> "_Place":
        writer = self._writer
        if writer and position >= writer.header.first_position:
            return _Place(writer.path, writer.header.first_position, writer.end_bytes)
        index = bisect_right(self._sealed, position, key=lambda segment: segment.first_position)
        if not index or position > self._sealed[index - 1].last_position:
            raise SPOOL_POSITION_UNKNOWN.error(position=position)
        segment = self._sealed[index - 1]
        return _Place(segment.path, segment.first_position, segment.size_bytes - SEAL_BYTES)

    def _remember(self, path: Path, position: int, offset: int) -> None:
        self._cursors[path, position] = (offset, position)
        if len(self._cursors) > CURSORS_MAX:
            self._cursors.popitem(last=False)


class _Place(NamedTuple):
    path: Path
    first: int
    content_bytes: int
