"""Segments as files: created, appended to, sealed, recovered. Blocking; the spool's thread only.

Order of every step is chosen for a power cut behind it: a file exists before a record in it is
acknowledged, a segment is sealed before the next one begins, and what cannot be explained is
moved aside, never deleted.
"""

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

from aitrading.core.infrastructure.files import BINARY, PRIVATE_FILE_MODE, sync_folder
from aitrading.core.infrastructure.segment_codecs import (
    HEAD_BYTES,
    ClearCodec,
    Ending,
    Intact,
    SealedCodec,
    ends_of,
    intact_part,
    name_of,
)
from aitrading.core.infrastructure.spool_errors import SPOOL_DISK_FULL, SPOOL_FAILED
from aitrading.core.kit.errors import AitradingError
from aitrading.core.protocol.error_codes import SEGMENT_CORRUPT
from aitrading.core.protocol.sealed_segment import (
    SealedHeader,
    decode_sealed_header,
    is_sealed_segment,
)
from aitrading.core.protocol.segment import SEAL_BYTES, Buffer, SegmentHeader
from aitrading.core.security.file_sealing import FILE_KEY_MISSING, FileKeys

SUFFIX: Final = ".seg"
TORN_SUFFIX: Final = ".torn"
CORRUPT_SUFFIX: Final = ".corrupt"
ASIDE_FILES_MAX: Final = 16
"""Torn tails and corrupt segments kept for analysis, of each kind; the oldest goes first."""
POSITIONS_SKIPPED: Final = 1 << 32
"""Left out when the newest segment is lost: more than it can have held."""
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})

Sync = Callable[[int], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class SealedSegment:
    """A complete segment on disk; its boundaries never change again."""

    spool: UUID
    segment_id: int
    path: Path
    first_position: int
    records: int
    size_bytes: int
    created_ns: int
    sealed_ns: int

    @property
    def last_position(self) -> int:
        """Position of the last record."""
        return self.first_position + self.records - 1

    @property
    def token(self) -> str:
        """Names this segment for good, in every store: the key of exactly-once hand-over."""
        return f"{self.spool}-{self.segment_id:016x}"


class SegmentWriter:
    """The one open segment. `append` returns when the bytes are durable, or raises.

    After an error nothing behind `end_bytes` is left in the file, so a later recovery cannot
    mistake unsynced bytes for durable ones.
    """

    def __init__(
        self, path: Path, codec: SealedCodec | ClearCodec, descriptor: int, sync: Sync
    ) -> None:
        self.path = path
        self.header = codec.header
        self.end_bytes = codec.header_bytes
        self.records = 0
        self._codec = codec
        self._descriptor = descriptor
        self._sync = sync

    @classmethod
    def create(
        cls, folder: Path, codec: SealedCodec, *, sync: Sync, preallocate_bytes: int
    ) -> "SegmentWriter":
        """Create the file and make its existence durable."""
        path = folder / segment_name(codec.header.segment_id)
        with explained(folder):
            descriptor = os.open(
                path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | BINARY, PRIVATE_FILE_MODE
            )
            writer = cls(path, codec, descriptor, sync)
            try:
                if preallocate_bytes and sys.platform == "linux":
                    os.posix_fallocate(descriptor, 0, preallocate_bytes)
                _write_at(descriptor, codec.encode_header(), 0)
                sync(descriptor)
                sync_folder(folder)
            except BaseException:
                os.close(descriptor)
                path.unlink(missing_ok=True)
                raise
        return writer

    @classmethod
    def reopen(cls, found: "OpenSegment", keys: FileKeys, *, sync: Sync) -> "SegmentWriter":
        """Go on with the segment that recovery found open."""
        content = found.content
        codec = (
            SealedCodec.of(content, keys) if is_sealed_segment(content) else ClearCodec(content)
        )
        with explained(found.path.parent):
            descriptor = os.open(found.path, os.O_RDWR | BINARY)
        writer = cls(found.path, codec, descriptor, sync)
        writer.end_bytes = len(content)
        writer.records = found.records
        return writer

    @property
    def in_the_clear(self) -> bool:
        """An older version began it: it is to be completed, not to be appended to."""
        return isinstance(self._codec, ClearCodec)

    @property
    def next_position(self) -> int:
        """Position of the next record."""
        return self.header.first_position + self.records

    def append(self, records: list[tuple[int, Buffer]]) -> int:
        """Write records (kind, payload) and sync once; tells how many bytes that were."""
        assert isinstance(self._codec, SealedCodec)  # noqa: S101 - others are completed only
        blob = self._codec.encode(records, self.records)
        self._append(blob)
        self.records += len(records)
        return len(blob)

    def seal(self, sealed_ns: int) -> SealedSegment:
        """Complete the segment; nothing can be appended afterwards."""
        self._append(self._codec.encode_seal(self.records, self.end_bytes, sealed_ns))
        with explained(self.path.parent):
            os.ftruncate(self._descriptor, self.end_bytes)
        self.close()
        ending = Ending(records=self.records, sealed_ns=sealed_ns)
        return sealed_segment(self.path, self.header, ending, self.end_bytes)

    def close(self) -> None:
        """Let go of the file; what was appended stays."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _append(self, blob: bytes) -> None:
        with explained(self.path.parent):
            try:
                _write_at(self._descriptor, blob, self.end_bytes)
                self._sync(self._descriptor)
            except OSError:
                os.ftruncate(self._descriptor, self.end_bytes)
                raise
        self.end_bytes += len(blob)


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenSegment:
    """The newest segment, cut to its intact part and synced, ready to be appended to."""

    path: Path
    header: SegmentHeader
    records: int
    content: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Recovery:
    """What was found in a folder at opening."""

    sealed: tuple[SealedSegment, ...] = ()
    open: OpenSegment | None = None
    spool: UUID | None = None
    """The spool's identity; None when it begins anew."""
    next_position: int = 1
    next_segment_id: int = 1
    torn_bytes: int = 0
    """Bytes of records that were never acknowledged; copies lie beside as `*.torn`."""
    quarantined: tuple[Path, ...] = ()
    """Files that are damaged where no crash can damage them, now `*.corrupt`."""


def recover(folder: Path, keys: FileKeys, *, sync: Sync, now_ns: int) -> Recovery:
    """Bring a folder into order after whatever happened to its last owner.

    Needs no free space. Reads the newest segment whole and of the others header and seal only:
    `read_segment` checks the rest when it is used. What is torn shows without a key; but with
    segments whose file key is not here it raises `FILE_KEY_MISSING` before it changes anything.
    """
    with explained(folder):
        return _Recoverer(folder, keys, sync, now_ns).run()


def sealed_headers(folder: Path) -> Iterator[SealedHeader]:
    """The headers of a folder's sealed segments; those that are damaged are for `recover`."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
        with contextlib.suppress(AitradingError):  # in the clear, or damaged
            yield decode_sealed_header(head)


class _Recoverer:
    def __init__(self, folder: Path, keys: FileKeys, sync: Sync, now_ns: int) -> None:
        self._folder = folder
        self._keys = keys
        self._sync = sync
        self._now_ns = now_ns
        self._sealed: list[SealedSegment] = []
        self._open: OpenSegment | None = None
        self._torn_bytes = 0
        self._quarantined: list[Path] = []

    def run(self) -> Recovery:
        paths = sorted(self._folder.glob(f"*{SUFFIX}"))
        for header in sealed_headers(self._folder):
            self._keys.require(header.key_id, what=name_of(header))
        for path in paths:
            self._visit(path, is_newest=path == paths[-1])
        next_position, spool = 1, None
        if self._sealed:
            next_position, spool = self._sealed[-1].last_position + 1, self._sealed[-1].spool
        if self._open:
            next_position = self._open.header.first_position + self._open.records
            spool = self._open.header.spool
        if paths and paths[-1].with_suffix(CORRUPT_SUFFIX) in self._quarantined:
            next_position, spool = next_position + POSITIONS_SKIPPED, None
        return Recovery(
            sealed=tuple(self._sealed),
            open=self._open,
            spool=spool,
            next_position=next_position,
            next_segment_id=max(map(_id_of, paths), default=0) + 1,
            torn_bytes=self._torn_bytes,
            quarantined=tuple(self._quarantined),
        )

    def _visit(self, path: Path, *, is_newest: bool) -> None:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
            file.seek(max(0, size - SEAL_BYTES))
            tail = file.read(SEAL_BYTES)
        if not any(head) and not any(path.read_bytes()):
            path.unlink()  # created, and the machine stopped before the header was on disk
            return
        try:
            header, seal = ends_of(head, tail, size, self._keys)
            if header.segment_id != _id_of(path):
                raise SEGMENT_CORRUPT.error(offset=16, reason="it is another segment's file")
            if seal is not None:
                self._sealed.append(sealed_segment(path, header, seal, size))
                return
            data = path.read_bytes()
            found = intact_part(data)
        except AitradingError as exc:
            if exc.spec is FILE_KEY_MISSING:  # which is no damage
                raise
            self._quarantined.append(set_aside(path, CORRUPT_SUFFIX))
            return
        self._cut(path, data, found.end)
        self._complete(path, data[: found.end], found, is_newest=is_newest)

    def _complete(self, path: Path, content: bytes, found: Intact, *, is_newest: bool) -> None:
        if found.seal is not None:
            self._sealed.append(sealed_segment(path, found.header, found.seal, found.end))
            return
        opened = OpenSegment(
            path=path, header=found.header, records=found.records, content=content
        )
        if is_newest:
            self._open = opened
        elif found.records:
            writer = SegmentWriter.reopen(opened, self._keys, sync=self._sync)
            self._sealed.append(writer.seal(self._now_ns))
        else:
            path.unlink()

    def _cut(self, path: Path, data: bytes, end: int) -> None:
        torn = data[end:].rstrip(b"\0")
        if torn:
            self._torn_bytes += len(torn)
            with contextlib.suppress(OSError):  # a full disk must not prevent the start
                path.with_suffix(TORN_SUFFIX).write_bytes(torn)
                _limit_aside(path.parent, TORN_SUFFIX)
        with path.open("r+b") as file:
            file.truncate(end)
            self._sync(file.fileno())


def sealed_segment(path: Path, header: SegmentHeader, seal: Ending, size: int) -> SealedSegment:
    """Describe a complete segment."""
    return SealedSegment(
        spool=header.spool,
        segment_id=header.segment_id,
        path=path,
        first_position=header.first_position,
        records=seal.records,
        size_bytes=size,
        created_ns=header.created_ns,
        sealed_ns=seal.sealed_ns,
    )


def segment_name(segment_id: int) -> str:
    """File name of a segment; names sort like ids."""
    return f"{segment_id:016x}{SUFFIX}"


def set_aside(path: Path, suffix: str) -> Path:
    """Rename a file that must not be used again, so that somebody can look at it."""
    target = path.with_suffix(suffix)
    path.replace(target)
    _limit_aside(path.parent, suffix)
    sync_folder(path.parent)
    return target


def _limit_aside(folder: Path, suffix: str) -> None:
    for path in sorted(folder.glob(f"*{suffix}"))[:-ASIDE_FILES_MAX]:
        path.unlink(missing_ok=True)


def _id_of(path: Path) -> int:
    try:
        return int(path.stem, 16)
    except ValueError:
        return 0


def _write_at(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


@contextlib.contextmanager
def explained(folder: Path) -> Generator[None]:
    """Map what the operating system says about the disk to the spool's errors."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise SPOOL_DISK_FULL.error(folder=str(folder)) from error
        reason = error.strerror or str(error)
        raise SPOOL_FAILED.error(folder=str(folder), reason=reason) from error
