"""How a segment's bytes come about and are read: sealed (v2), and in the clear (v1) as before.

New segments are always sealed. A v1 segment that an older version left is completed and read.
"""

import hashlib
from collections.abc import Iterator
from typing import Final, NamedTuple, Protocol

from typing_extensions import override

from aitrading.core.kit.errors import AitradingError
from aitrading.core.protocol.error_codes import SEGMENT_CORRUPT
from aitrading.core.protocol.sealed_segment import (
    SEALED_HEADER_BYTES,
    Frame,
    FrameSeal,
    SealedHeader,
    decode_sealed_header,
    encode_frame,
    encode_frame_seal,
    frame_bound_to,
    is_sealed_segment,
    read_frame_seal,
    read_frames,
    scan_frames,
    sealed_identity,
)
from aitrading.core.protocol.segment import (
    HEADER_BYTES,
    Buffer,
    Record,
    Seal,
    SegmentHeader,
    decode_header,
    encode_record,
    encode_seal,
    read_records,
    read_seal,
    record_bytes,
    scan,
    verify_segment,
)
from aitrading.core.security.crypto_fields import FieldKey
from aitrading.core.security.file_sealing import FILE_UNREADABLE, FileKeys, WrappedKey

HEAD_BYTES: Final = SEALED_HEADER_BYTES
"""Enough of a file to know its version and its key."""
FRAME_BYTES: Final = 128 * 1024
"""Records sealed together: a write makes more than one frame beyond this, a reader opens whole
frames."""

Batch = list[tuple[int, Buffer]]


class SealedCodec:
    """Makes the bytes of one sealed segment.

    Nonces are random, not counted: what a failed write or a crash left half written is cut off and
    its place written again with other records, and a counter would come again with it.
    """

    header_bytes = SEALED_HEADER_BYTES

    def __init__(self, header: SealedHeader, key: FieldKey) -> None:
        self.header: Final = header.segment
        self._sealed = header
        self._key = key
        self._seed = header.seed
        self._record_seed = header.segment.seed

    @classmethod
    def new(cls, header: SegmentHeader, keys: FileKeys) -> "SealedCodec":
        """Draw a key for a new segment."""
        key, wrapped = keys.new_key(bound_to=sealed_identity(header))
        sealed = SealedHeader(segment=header, key_id=wrapped.key_id, wrapped=wrapped.wrapped)
        return cls(sealed, key)

    @classmethod
    def of(cls, head: Buffer, keys: FileKeys) -> "SealedCodec":
        """Go on with a segment; raises `SEGMENT_CORRUPT` or `FILE_KEY_MISSING`."""
        header = decode_sealed_header(head)
        return cls(header, unwrapped(header, keys))

    def encode_header(self) -> bytes:
        """The start of the file."""
        return self._sealed.encode()

    def encode(self, records: Batch, first_index: int) -> bytes:
        """The frames of one write."""
        return b"".join(
            encode_frame(
                self._key.seal(blob, bound_to=frame_bound_to(index, count)),
                index=index,
                records=count,
                seed=self._seed,
            )
            for index, count, blob in self._blobs(records, first_index)
        )

    def encode_seal(self, records: int, content_bytes: int, sealed_ns: int) -> bytes:
        """The end of a complete segment."""
        seal = FrameSeal(records=records, content_bytes=content_bytes, sealed_ns=sealed_ns)
        proof = self._key.seal(b"", bound_to=seal.bound_to)
        proven = FrameSeal(
            records=records, content_bytes=content_bytes, sealed_ns=sealed_ns, proof=proof
        )
        return encode_frame_seal(proven, seed=self._seed)

    def _blobs(self, records: Batch, first_index: int) -> Iterator[tuple[int, int, bytes]]:
        parts: list[Buffer] = []
        start, size = first_index, 0
        for index, (kind, payload) in enumerate(records, start=first_index):
            taken = record_bytes(len(payload))
            if parts and size + taken > FRAME_BYTES:
                yield start, index - start, b"".join(parts)
                parts, start, size = [], index, 0
            parts += encode_record(payload, kind=kind, index=index, seed=self._record_seed)
            size += taken
        if parts:
            yield start, first_index + len(records) - start, b"".join(parts)


class ClearCodec:
    """Completes a v1 segment that an older version left open; it gets no further record."""

    header_bytes = HEADER_BYTES

    def __init__(self, content: Buffer) -> None:
        self.header: Final = decode_header(content)
        self._sha256 = hashlib.sha256(content).digest()

    def encode_seal(self, records: int, content_bytes: int, sealed_ns: int) -> bytes:
        """The end of a complete segment."""
        seal = Seal(
            records=records,
            content_bytes=content_bytes,
            sealed_ns=sealed_ns,
            sha256=self._sha256,
        )
        return encode_seal(seal, seed=self.header.seed)


class Ending(NamedTuple):
    """What the seal of a complete segment says, of either version."""

    records: int
    sealed_ns: int


class Intact(NamedTuple):
    """The intact part of a file, of either version."""

    header: SegmentHeader
    records: int
    end: int
    seal: Ending | None


def ends_of(
    head: Buffer, tail: Buffer, size_bytes: int, keys: FileKeys
) -> tuple[SegmentHeader, Ending | None]:
    """What a file's first and last bytes say; without a seal when it is not complete.

    Raises `SEGMENT_CORRUPT`, `SEGMENT_VERSION_UNSUPPORTED` or `FILE_KEY_MISSING`.
    """
    if is_sealed_segment(head):
        sealed = decode_sealed_header(head)
        unwrapped(sealed, keys)
        header, seal = sealed.segment, read_frame_seal(sealed, tail, size_bytes)
    else:
        header = decode_header(head)
        seal = read_seal(header, tail, size_bytes)
    return header, None if seal is None else Ending(seal.records, seal.sealed_ns)


def intact_part(data: Buffer) -> Intact:
    """How far a file is as it was written; needs no key."""
    if is_sealed_segment(data):
        frames = scan_frames(data)
        header, records, seal = frames.header.segment, frames.records, frames.seal
        end = frames.end
    else:
        found = scan(data)
        header, records, end, seal = found.header, len(found.records), found.end, found.seal
    return Intact(header, records, end, seal and Ending(seal.records, seal.sealed_ns))


class Taken(NamedTuple):
    """What a piece of a segment gave."""

    records: list[Record]
    """The wanted ones."""
    taken: int
    """All that it held."""
    used_bytes: int


class SegmentReader(Protocol):
    """Reads records from pieces of one segment."""

    header_bytes: int

    def read(self, piece: Buffer, at: int, wanted: int) -> Taken:
        """Records from position `wanted` on, of a piece that starts with position `at`.

        Raises `SEGMENT_CORRUPT`; takes nothing of a record or frame that is cut off.
        """
        ...


class ClearReader(SegmentReader):
    """Of a v1 segment."""

    header_bytes = HEADER_BYTES

    def __init__(self, head: Buffer) -> None:
        self._header = decode_header(head)

    @override
    def read(self, piece: Buffer, at: int, wanted: int) -> Taken:
        found, used = read_records(piece, self._header, at)
        return Taken([record for record in found if record.position >= wanted], len(found), used)


class SealedReader(SegmentReader):
    """Of a sealed segment; opens only the frames that hold something wanted."""

    header_bytes = SEALED_HEADER_BYTES

    def __init__(self, head: Buffer, keys: FileKeys) -> None:
        self._header = decode_sealed_header(head)
        self._key = unwrapped(self._header, keys)

    @override
    def read(self, piece: Buffer, at: int, wanted: int) -> Taken:
        header = self._header.segment
        frames, used = read_frames(piece, self._header, at - header.first_position)
        records: list[Record] = []
        count = 0
        for frame in frames:
            count += frame.records
            if at + count > wanted:
                first = header.first_position + frame.first
                found, _ = read_records(opened(frame, self._key), header, first)
                records += [record for record in found if record.position >= wanted]
        return Taken(records, count, used)


def reader_of(head: Buffer, keys: FileKeys) -> SegmentReader:
    """Reads the segment that begins like this."""
    return SealedReader(head, keys) if is_sealed_segment(head) else ClearReader(head)


def open_segment(data: bytes, keys: FileKeys) -> bytes:
    """A complete segment as v1, checked: of the same file always the same bytes.

    Raises `SEGMENT_CORRUPT` for a changed, cut or incomplete one, `FILE_KEY_MISSING` where its
    file key is not here.
    """
    if not is_sealed_segment(data):
        verify_segment(data)
        return data
    found = scan_frames(data)
    seal, header = found.seal, found.header.segment
    if seal is None or found.end != len(data):
        raise _corrupt(found.end, found.damage or "the segment does not end with a seal")
    key = unwrapped(found.header, keys)
    if seal.records != found.records or key.open(seal.proof, bound_to=seal.bound_to) is None:
        raise _corrupt(found.end, "the seal is of another content")
    content = b"".join([header.encode(), *(opened(frame, key) for frame in found.frames)])
    clear = Seal(
        records=seal.records,
        content_bytes=len(content),
        sealed_ns=seal.sealed_ns,
        sha256=hashlib.sha256(content).digest(),
    )
    return content + encode_seal(clear, seed=header.seed)


def opened(frame: Frame, key: FieldKey) -> bytes:
    """The v1 records of a frame; raises `SEGMENT_CORRUPT`."""
    bound_to = frame_bound_to(frame.first, frame.records)
    plain = key.open(frame.body, bound_to=bound_to)
    if plain is None:
        raise _corrupt(
            0, f"the records from {frame.first} on do not open under this segment's key"
        )
    return plain


def unwrapped(header: SealedHeader, keys: FileKeys) -> FieldKey:
    """The segment's key; raises `FILE_KEY_MISSING`, `SEGMENT_CORRUPT` for a changed header."""
    wrapped = WrappedKey(key_id=header.key_id, wrapped=header.wrapped)
    try:
        return keys.unwrap(wrapped, bound_to=header.bound_to, what=name_of(header))
    except AitradingError as exc:
        if exc.spec is not FILE_UNREADABLE:
            raise
        raise _corrupt(HEADER_BYTES, "the segment's key is of another header") from exc


def name_of(header: SealedHeader) -> str:
    """How errors call a segment."""
    return f"Segment {header.segment.segment_id:016x} of spool {header.segment.spool}"


def _corrupt(offset: int, reason: str) -> AitradingError:
    return SEGMENT_CORRUPT.error(offset=offset, reason=reason)
