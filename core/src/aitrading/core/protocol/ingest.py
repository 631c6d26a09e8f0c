"""The ingest record: one batch of ticks with the identity the bridge vouches for.

A record is what one spool append of the data bridge holds and what the database service inserts.
All integers are little-endian; the rows start on an 8-byte boundary of the record.

====== ===== ================= ==================================================================
offset bytes field             meaning
====== ===== ================= ==================================================================
0      1     version           1
1      1     reserved          0
2      2     row_bytes         size of one row, so that a reader of another row layout notices
4      4     count             rows that follow, 1 … 1,048,576
8      8     first_sequence    sequence of the first row; row i has first_sequence + i
16     8     receive_ns        bridge's wall clock at receipt, nanoseconds since the Unix epoch
24     4     broker_offset_s   broker server time minus UTC in seconds (signed)
28     4     reserved          0
32     16    tenant            UUID, network byte order; taken from the device certificate
48     16    stream            UUID of (device, account, instrument, epoch)
64     16    trace_id          W3C trace id of the batch, all zero when it has none
80     8     span_id           W3C span id of the bridge's receive span
88     …     rows              count * row_bytes bytes, as the link's TICKS body carries them
====== ===== ================= ==================================================================
"""

import struct
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from aitrading.core.kit.errors import Category, ErrorSpec, Impact

INGEST_VERSION: Final = 1
MAX_ROWS_PER_RECORD: Final = 1 << 20
MAX_SEQUENCE: Final = (1 << 63) - 1
_HEADER: Final = struct.Struct("<BBHIQqiI16s16s16s8s")
HEADER_BYTES: Final = _HEADER.size

INGEST_RECORD_MALFORMED: Final = ErrorSpec(
    code="INGEST_RECORD_MALFORMED",
    category=Category.FATAL,
    message="An ingest record is malformed: {field} expected {expected}, was {actual}.",
    why="The spool segment was damaged, or bridge and database service are of different versions.",
    remedy="Keep the segment, compare the versions of both services, and restore it by hand.",
    http_status=422,
    impact=Impact.MARKET_DATA,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class IngestHeader:
    """Who sent which rows, and when the bridge received them."""

    tenant: UUID
    stream: UUID
    first_sequence: int
    count: int
    receive_ns: int
    broker_offset_s: int
    trace_id: bytes
    span_id: bytes
    row_bytes: int

    @property
    def last_sequence(self) -> int:
        """Sequence of the last row."""
        return self.first_sequence + self.count - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class IngestRecord:
    """One batch of consecutive rows of one stream; `rows` is a view, never a copy."""

    header: IngestHeader
    rows: memoryview


def encode_header(header: IngestHeader) -> bytes:
    """The 88 bytes that precede the rows; the caller appends the rows without copying them."""
    return _HEADER.pack(
        INGEST_VERSION,
        0,
        header.row_bytes,
        header.count,
        header.first_sequence,
        header.receive_ns,
        header.broker_offset_s,
        0,
        header.tenant.bytes,
        header.stream.bytes,
        header.trace_id,
        header.span_id,
    )


def decode_record(payload: bytes | memoryview) -> IngestRecord:
    """Parse one record completely; raises `INGEST_RECORD_MALFORMED` for anything else."""
    view = memoryview(payload)
    _expect("length", len(view) >= HEADER_BYTES, f"at least {HEADER_BYTES} bytes", len(view))
    fields = _HEADER.unpack_from(view)
    version, reserved_byte, row_bytes, count, first_sequence, receive_ns, offset_s, reserved = (
        fields[:8]
    )
    _expect("version", version == INGEST_VERSION, str(INGEST_VERSION), version)
    _expect("reserved", reserved_byte == reserved == 0, "0", reserved_byte or reserved)
    _expect("count", 1 <= count <= MAX_ROWS_PER_RECORD, f"1 … {MAX_ROWS_PER_RECORD}", count)
    _expect("row_bytes", row_bytes > 0, "more than 0", row_bytes)
    last_sequence = first_sequence + count - 1
    _expect("last_sequence", last_sequence <= MAX_SEQUENCE, f"≤ {MAX_SEQUENCE}", last_sequence)
    rows = view[HEADER_BYTES:]
    _expect("rows", len(rows) == count * row_bytes, f"{count * row_bytes} bytes", len(rows))
    header = IngestHeader(
        tenant=UUID(bytes=fields[8]),
        stream=UUID(bytes=fields[9]),
        first_sequence=first_sequence,
        count=count,
        receive_ns=receive_ns,
        broker_offset_s=offset_s,
        trace_id=fields[10],
        span_id=fields[11],
        row_bytes=row_bytes,
    )
    return IngestRecord(header=header, rows=rows)


def _expect(field: str, holds: bool, expected: str, actual: int) -> None:
    if not holds:
        raise INGEST_RECORD_MALFORMED.error(field=field, expected=expected, actual=actual)
