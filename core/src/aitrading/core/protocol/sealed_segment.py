"""Spool segment v2: a v1 segment that lies sealed. docs/reference/formats.md has every byte.

The file is a header with the segment's own key (wrapped), frames, and, once it is complete, a seal.
Each frame holds, sealed, the v1 records of one write, byte for byte; its checksum is of the sealed
bytes and starts from the header's. So whatever a crash leaves is brought into order without a key,
and whoever has the key gets back a v1 segment. Nothing here opens or seals anything.
"""

import struct
import zlib
from dataclasses import dataclass
from typing import Final, NamedTuple

from aitrading.core.kit.errors import AitradingError
from aitrading.core.protocol.error_codes import SEGMENT_CORRUPT, SEGMENT_VERSION_UNSUPPORTED
from aitrading.core.protocol.segment import (
    ALIGNMENT,
    HEADER_BYTES,
    KIND_SEAL,
    RECORD_BYTES_MAX,
    Buffer,
    SegmentHeader,
    decode_header,
    version_of,
)
from aitrading.core.protocol.versions import SEALED_SEGMENT_VERSION

FRAME_HEADER_BYTES: Final = 24
SEALING_BYTES: Final = 28
"""What sealing adds: nonce and tag."""
FRAME_OVERHEAD_BYTES: Final = FRAME_HEADER_BYTES + SEALING_BYTES + ALIGNMENT
"""At most what a frame takes beyond its records."""
KIND_RECORDS: Final = 1
SEALED_SEAL_BYTES: Final = 72
SEALED_HEADER_BYTES: Final = 144
_FRAME_BYTES_MAX: Final = RECORD_BYTES_MAX + 1024 * 1024

_KEY: Final = struct.Struct("<16s60s")
_FRAME: Final = struct.Struct("<IIHHIII")
_FRAME_CHECKED: Final = struct.Struct("<IHHIII")
_SEAL: Final = struct.Struct("<Qq28s")
_SEAL_BOUND: Final = struct.Struct("<QQq")
_CHECKSUM: Final = struct.Struct("<I")


@dataclass(frozen=True, kw_only=True, slots=True)
class SealedHeader:
    """The v1 header, and the segment's key as only its file key opens it."""

    segment: SegmentHeader
    key_id: bytes
    wrapped: bytes

    def encode(self) -> bytes:
        """The 144 bytes at the start of the file."""
        packed = self.bound_to + _KEY.pack(self.key_id, self.wrapped)
        return packed + _CHECKSUM.pack(zlib.crc32(packed))

    @property
    def bound_to(self) -> bytes:
        """What the wrapped key belongs to: the first 64 bytes."""
        return sealed_identity(self.segment)

    @property
    def seed(self) -> int:
        """Where the checksums of this segment's frames start."""
        return _CHECKSUM.unpack(self.encode()[-_CHECKSUM.size :])[0]


class Frame(NamedTuple):
    """One write: `records` records from index `first` on, sealed in `body`."""

    first: int
    records: int
    body: memoryview


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameSeal:
    """What the end of a complete segment says; `proof` shows that who had the key said it."""

    records: int
    content_bytes: int
    sealed_ns: int
    proof: bytes = b""

    @property
    def bound_to(self) -> bytes:
        """What `proof` is about."""
        return b"seal" + _SEAL_BOUND.pack(self.records, self.content_bytes, self.sealed_ns)


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameScan:
    """What a file holds, as far as it is intact."""

    header: SealedHeader
    frames: list[Frame]
    records: int
    end: int
    seal: FrameSeal | None
    damage: str


def sealed_identity(header: SegmentHeader) -> bytes:
    """The first 64 bytes of a sealed segment's file."""
    return header.encode(version=SEALED_SEGMENT_VERSION, header_bytes=SEALED_HEADER_BYTES)


def frame_bound_to(index: int, records: int) -> bytes:
    """What a frame's sealed bytes belong to; the segment is the key's to tell."""
    return struct.pack("<4sII", b"recs", index, records)


def is_sealed_segment(data: Buffer) -> bool:
    """Whether a file claims to be a sealed segment."""
    return version_of(data) == SEALED_SEGMENT_VERSION


def encode_frame(body: bytes, *, index: int, records: int, seed: int) -> bytes:
    """A whole frame around the sealed records."""
    return _encode(body, KIND_RECORDS, index, records, seed)


def encode_frame_seal(seal: FrameSeal, *, seed: int) -> bytes:
    """The frame that completes a segment."""
    body = _SEAL.pack(seal.content_bytes, seal.sealed_ns, seal.proof)
    return _encode(body, KIND_SEAL, seal.records, 0, seed)


def decode_sealed_header(data: Buffer) -> SealedHeader:
    """Read a header; raises `SEGMENT_CORRUPT` or `SEGMENT_VERSION_UNSUPPORTED`."""
    if len(data) < SEALED_HEADER_BYTES:
        raise _corrupt(len(data), "the file is shorter than a header")
    view = memoryview(data)[:SEALED_HEADER_BYTES]
    segment = decode_header(view, version=SEALED_SEGMENT_VERSION, header_bytes=SEALED_HEADER_BYTES)
    checksum = _CHECKSUM.unpack(view[-_CHECKSUM.size :])[0]
    if zlib.crc32(view[: -_CHECKSUM.size]) != checksum:
        raise _corrupt(HEADER_BYTES, "the checksum of the segment's key is wrong")
    key_id, wrapped = _KEY.unpack_from(view, HEADER_BYTES)
    return SealedHeader(segment=segment, key_id=key_id, wrapped=wrapped)


def scan_frames(data: Buffer) -> FrameScan:
    """Read as far as the bytes are intact; raises only for a header that cannot be used."""
    header = decode_sealed_header(data)
    view, seed = memoryview(data), header.seed
    frames: list[Frame] = []
    offset, records, seal, damage = SEALED_HEADER_BYTES, 0, None, ""
    while seal is None and offset < len(view):
        found = _frame_at(view, offset, records, seed)
        if isinstance(found, str):
            damage = found
            break
        frame, kind, after = found
        if kind == KIND_SEAL:
            seal = _decode_seal(frame, offset)
            if seal is None:
                damage = "the seal contradicts the records"
                break
        else:
            frames.append(frame)
            records += frame.records
        offset = after
    return FrameScan(
        header=header, frames=frames, records=records, end=offset, seal=seal, damage=damage
    )


def read_frames(data: Buffer, header: SealedHeader, index: int) -> tuple[list[Frame], int]:
    """Read whole frames from a piece of a segment that starts with a given index.

    Also tells how many bytes they took. Stops before a seal, a frame that is cut off, or zeros;
    raises `SEGMENT_CORRUPT` for anything else.
    """
    view, seed = memoryview(data), header.seed
    frames: list[Frame] = []
    offset = 0
    while offset + FRAME_HEADER_BYTES <= len(view):
        found = _frame_at(view, offset, index, seed)
        if isinstance(found, str):
            size = _FRAME.unpack_from(view, offset)[1]
            if not found or offset + _padded(size) > len(view):
                break
            raise _corrupt(offset, found)
        frame, kind, after = found
        if kind == KIND_SEAL:
            break
        frames.append(frame)
        index += frame.records
        offset = after
    return frames, offset


def read_frame_seal(header: SealedHeader, tail: Buffer, size_bytes: int) -> FrameSeal | None:
    """Read the seal from a file's last bytes; None when the file does not end with one."""
    if len(tail) != SEALED_SEAL_BYTES:
        return None
    index = _FRAME.unpack_from(tail)[4]
    found = _frame_at(memoryview(tail), 0, index, header.seed)
    if isinstance(found, str) or found[1] != KIND_SEAL:
        return None
    return _decode_seal(found[0], size_bytes - SEALED_SEAL_BYTES)


def _encode(body: bytes, kind: int, index: int, records: int, seed: int) -> bytes:
    checked = _FRAME_CHECKED.pack(len(body), kind, 0, index, records, 0)
    checksum = zlib.crc32(body, zlib.crc32(checked, seed))
    padding = bytes(-len(body) % ALIGNMENT)
    return b"".join((_CHECKSUM.pack(checksum), checked, body, padding))


def _frame_at(
    view: memoryview, offset: int, index: int, seed: int
) -> tuple[Frame, int, int] | str:
    """A frame, its kind and its end, or why there is none (empty: the rest was not written)."""
    if offset + FRAME_HEADER_BYTES > len(view):
        return "" if not any(view[offset:]) else "a frame's header is cut off"
    checksum, size, kind, flags, found_index, records, rest = _FRAME.unpack_from(view, offset)
    if not (checksum or size or kind or flags or found_index or records or rest):
        return ""
    start, after = offset + FRAME_HEADER_BYTES, offset + _padded(size)
    if size > _FRAME_BYTES_MAX or after > len(view):
        return "a frame is cut off"
    if zlib.crc32(view[offset + 4 : start + size], seed) != checksum:
        return "a frame's checksum is wrong"
    if found_index != index or any(view[start + size : after]):
        return f"record {found_index} stands in the place of {index}"
    if flags or rest or kind not in (KIND_RECORDS, KIND_SEAL):
        raise SEGMENT_VERSION_UNSUPPORTED.error(what=f"frame kind {kind} with flags {flags:#06x}")
    return Frame(found_index, records, view[start : start + size]), kind, after


def _decode_seal(frame: Frame, content_bytes: int) -> FrameSeal | None:
    if len(frame.body) != _SEAL.size or frame.records:
        return None
    size, sealed_ns, proof = _SEAL.unpack(frame.body)
    if size != content_bytes:
        return None
    return FrameSeal(
        records=frame.first, content_bytes=size, sealed_ns=sealed_ns, proof=bytes(proof)
    )


def _padded(size: int) -> int:
    return FRAME_HEADER_BYTES + size + -size % ALIGNMENT


def _corrupt(offset: int, reason: str) -> AitradingError:
    return SEGMENT_CORRUPT.error(offset=offset, reason=reason)
