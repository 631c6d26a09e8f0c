"""Spool segment v1: what lies in a spool file. docs/reference/formats.md has every byte.

A segment is a 64-byte header, records, and, once it is complete, a seal. Each record's checksum
starts from the header's, so a record of another file is never taken for one of this file. A crash
can only hurt the end of an unsealed segment: `scan` tells where the intact part ends.
"""

import hashlib
import struct
import zlib
from dataclasses import dataclass
from typing import Final, NamedTuple
from uuid import UUID

from aitrading.core.kit.errors import AitradingError
from aitrading.core.protocol.error_codes import (
    SEGMENT_CORRUPT,
    SEGMENT_RECORD_TOO_LARGE,
    SEGMENT_VERSION_UNSUPPORTED,
)
from aitrading.core.protocol.versions import SEGMENT_VERSION

MAGIC: Final = b"AITSPOOL"
HEADER_BYTES: Final = 64
RECORD_HEADER_BYTES: Final = 16
RECORD_BYTES_MAX: Final = 16 * 1024 * 1024
"""Largest payload of one record."""
ALIGNMENT: Final = 8

KIND_TICKS: Final = 1
"""The payload is an ingest record (`protocol.ingest`)."""
KIND_OWNER_MAX: Final = 0x7FFF
"""Kinds 1 to this are the spool's owner's to define; higher ones belong to the format."""
KIND_SEAL: Final = 0xFFFF

_MUST_UNDERSTAND_SEGMENT: Final = 0xFFFF_0000
_MUST_UNDERSTAND_RECORD: Final = 0xFF00
_HEADER: Final = struct.Struct("<8sHHIQq16sQII")
_RECORD: Final = struct.Struct("<IIHHI")
_RECORD_CHECKED: Final = struct.Struct("<IHHI")
_SEAL: Final = struct.Struct("<QQq32s")
_CHECKSUM: Final = struct.Struct("<I")
_PADDING: Final = (b"", *(bytes(ALIGNMENT - size) for size in range(1, ALIGNMENT)))
SEAL_BYTES: Final = RECORD_HEADER_BYTES + _SEAL.size

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentHeader:
    """Which segment of which spool this is; positions count records over all segments, from 1."""

    spool: UUID
    segment_id: int
    first_position: int
    created_ns: int

    def encode(self, *, version: int = SEGMENT_VERSION, header_bytes: int = HEADER_BYTES) -> bytes:
        """The 64 bytes at the start of the file."""
        packed = _HEADER.pack(
            MAGIC,
            version,
            header_bytes,
            0,
            self.segment_id,
            self.created_ns,
            self.spool.bytes,
            self.first_position,
            0,
            0,
        )
        return packed[:-4] + _CHECKSUM.pack(zlib.crc32(packed[:-4]))

    @property
    def seed(self) -> int:
        """Where the checksums of this segment's records start: the header's own checksum."""
        return _CHECKSUM.unpack_from(self.encode(), HEADER_BYTES - 4)[0]


class Record(NamedTuple):
    """One record; `payload` is a view of the segment's bytes."""

    position: int
    kind: int
    payload: memoryview


@dataclass(frozen=True, kw_only=True, slots=True)
class Seal:
    """What the last record of a complete segment says about everything before it."""

    records: int
    content_bytes: int
    sealed_ns: int
    sha256: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Scan:
    """What a segment's bytes hold, as far as they are intact."""

    header: SegmentHeader
    records: list[Record]
    end: int
    """Where the intact part ends: the next record's place, or the end of the seal."""
    seal: Seal | None
    damage: str
    """Why reading stopped; empty when it stopped at the end or at zeros."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """A complete segment, checked to the last bit."""

    header: SegmentHeader
    records: list[Record]
    seal: Seal


def record_bytes(payload_bytes: int) -> int:
    """Space that a record with such a payload takes."""
    return RECORD_HEADER_BYTES + payload_bytes + -payload_bytes % ALIGNMENT


def encode_record(payload: Buffer, *, kind: int, index: int, seed: int) -> tuple[Buffer, ...]:
    """The parts of one record, to be written one after the other; the payload is not copied."""
    size = len(payload)
    if size > RECORD_BYTES_MAX:
        raise SEGMENT_RECORD_TOO_LARGE.error(size_bytes=size, limit_bytes=RECORD_BYTES_MAX)
    checked = _RECORD_CHECKED.pack(size, kind, 0, index)
    checksum = zlib.crc32(payload, zlib.crc32(checked, seed))
    return _CHECKSUM.pack(checksum) + checked, payload, _PADDING[size % ALIGNMENT]


def encode_seal(seal: Seal, *, seed: int) -> bytes:
    """The record that completes a segment."""
    payload = _SEAL.pack(seal.records, seal.content_bytes, seal.sealed_ns, seal.sha256)
    return b"".join(encode_record(payload, kind=KIND_SEAL, index=seal.records, seed=seed))


def version_of(data: Buffer) -> int:
    """Which version a file claims to be of; 0 for what is no segment."""
    if len(data) < HEADER_BYTES or bytes(memoryview(data)[: len(MAGIC)]) != MAGIC:
        return 0
    return _HEADER.unpack_from(data)[1]


def decode_header(
    data: Buffer, *, version: int = SEGMENT_VERSION, header_bytes: int = HEADER_BYTES
) -> SegmentHeader:
    """Read a header; raises `SEGMENT_CORRUPT` or `SEGMENT_VERSION_UNSUPPORTED`."""
    if len(data) < HEADER_BYTES:
        raise _corrupt(len(data), "the file is shorter than a header")
    magic, found, size, flags, segment_id, created_ns, spool, first, rest, checksum = (
        _HEADER.unpack_from(data)
    )
    if magic != MAGIC:
        raise _corrupt(0, "this is not a spool segment")
    if zlib.crc32(memoryview(data)[: HEADER_BYTES - 4]) != checksum:
        raise _corrupt(HEADER_BYTES - 4, "the header's checksum is wrong")
    if found != version or flags & _MUST_UNDERSTAND_SEGMENT:
        what = f"segment version {found} with flags {flags:#010x}"
        raise SEGMENT_VERSION_UNSUPPORTED.error(what=what)
    if size != header_bytes or rest or not segment_id or not first:
        raise _corrupt(8, "the header contradicts itself")
    return SegmentHeader(
        spool=UUID(bytes=spool),
        segment_id=segment_id,
        first_position=first,
        created_ns=created_ns,
    )


def scan(data: Buffer) -> Scan:
    """Read as far as the bytes are intact; raises only for a header that cannot be used."""
    header = decode_header(data)
    view, seed = memoryview(data), header.seed
    records: list[Record] = []
    offset, seal, damage = HEADER_BYTES, None, ""
    while seal is None and offset < len(view):
        found = _record_at(view, offset, len(records), seed)
        if isinstance(found, str):
            damage = found
            break
        kind, payload, after = found
        if kind == KIND_SEAL:
            seal = _decode_seal(payload, len(records), offset)
            if seal is None:
                damage = "the seal contradicts the records"
                break
        else:
            records.append(Record(header.first_position + len(records), kind, payload))
        offset = after
    return Scan(header=header, records=records, end=offset, seal=seal, damage=damage)


def read_segment(data: Buffer) -> Segment:
    """Read a complete segment; raises `SEGMENT_CORRUPT` unless every bit is as it was sealed."""
    seal = verify_segment(data)
    found = scan(data)
    if found.seal != seal:
        raise _corrupt(found.end, found.damage or "the seal is not where the records end")
    return Segment(header=found.header, records=found.records, seal=seal)


def verify_segment(data: Buffer) -> Seal:
    """Check a complete segment by its digest alone, without reading its records."""
    header, view = decode_header(data), memoryview(data)
    seal = read_seal(header, view[-SEAL_BYTES:], len(view))
    if seal is None:
        raise _corrupt(len(view), "the segment does not end with a seal")
    if hashlib.sha256(view[: seal.content_bytes]).digest() != seal.sha256:
        raise _corrupt(seal.content_bytes, "the digest in the seal is of other bytes")
    return seal


def read_records(data: Buffer, header: SegmentHeader, position: int) -> tuple[list[Record], int]:
    """Read whole records from a piece of a segment that starts with a given position.

    Also tells how many bytes they took. Stops before a seal, a record that is cut off, or zeros;
    raises `SEGMENT_CORRUPT` for anything else.
    """
    view, seed = memoryview(data), header.seed
    records: list[Record] = []
    offset = 0
    while offset + RECORD_HEADER_BYTES <= len(view):
        index = position + len(records) - header.first_position
        found = _record_at(view, offset, index, seed)
        if isinstance(found, str):
            size = _RECORD.unpack_from(view, offset)[1]
            if not found or offset + record_bytes(size) > len(view):
                break
            raise _corrupt(offset, found)
        kind, payload, after = found
        if kind == KIND_SEAL:
            break
        records.append(Record(position + len(records), kind, payload))
        offset = after
    return records, offset


def read_seal(header: SegmentHeader, tail: Buffer, size_bytes: int) -> Seal | None:
    """Read the seal from a file's last `SEAL_BYTES`; None when the file does not end with one."""
    if len(tail) != SEAL_BYTES:
        return None
    index = _RECORD.unpack_from(tail)[4]
    found = _record_at(memoryview(tail), 0, index, header.seed)
    if isinstance(found, str) or found[0] != KIND_SEAL:
        return None
    return _decode_seal(found[1], index, size_bytes - SEAL_BYTES)


def _record_at(
    view: memoryview, offset: int, index: int, seed: int
) -> tuple[int, memoryview, int] | str:
    """Kind, payload and end of a record, or why there is none (empty: the rest was not written)."""
    if offset + RECORD_HEADER_BYTES > len(view):
        return "" if not any(view[offset:]) else "a record's header is cut off"
    checksum, size, kind, flags, found_index = _RECORD.unpack_from(view, offset)
    if not (checksum or size or kind or flags or found_index):
        return ""
    start = offset + RECORD_HEADER_BYTES
    after = offset + record_bytes(size)
    if size > RECORD_BYTES_MAX or after > len(view):
        return "a record is cut off"
    if zlib.crc32(view[offset + 4 : start + size], seed) != checksum:
        return "a record's checksum is wrong"
    if found_index != index or any(view[start + size : after]):
        return f"record {found_index} stands in the place of {index}"
    if flags & _MUST_UNDERSTAND_RECORD or (not 1 <= kind <= KIND_OWNER_MAX and kind != KIND_SEAL):
        raise SEGMENT_VERSION_UNSUPPORTED.error(what=f"record kind {kind} with flags {flags:#06x}")
    return kind, view[start : start + size], after


def _decode_seal(payload: memoryview, records: int, content_bytes: int) -> Seal | None:
    if len(payload) != _SEAL.size:
        return None
    count, size, sealed_ns, digest = _SEAL.unpack(payload)
    seal = Seal(records=count, content_bytes=size, sealed_ns=sealed_ns, sha256=digest)
    return seal if (seal.records, seal.content_bytes) == (records, content_bytes) else None


def _corrupt(offset: int, reason: str) -> AitradingError:
    return SEGMENT_CORRUPT.error(offset=offset, reason=reason)
