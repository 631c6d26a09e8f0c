"""Sealed spool segments in memory, byte for byte as a spool writes them."""

import hashlib
from collections.abc import Iterable
from uuid import UUID

from aitrading.core.domain.market import ROW_BYTES, TickArray
from aitrading.core.protocol.ingest import IngestHeader, encode_header
from aitrading.core.protocol.segment import (
    KIND_TICKS,
    Seal,
    SegmentHeader,
    encode_record,
    encode_seal,
)


def sealed_segment(
    spool: UUID,
    segment_id: int,
    payloads: Iterable[bytes],
    *,
    kind: int = KIND_TICKS,
    created_ns: int = 1_700_000_000_000_000_000,
) -> bytes:
    """A complete segment of records of one kind."""
    header = SegmentHeader(
        spool=spool, segment_id=segment_id, first_position=1, created_ns=created_ns
    )
    parts: list[bytes] = [header.encode()]
    records = 0
    for payload in payloads:
        parts += map(bytes, encode_record(payload, kind=kind, index=records, seed=header.seed))
        records += 1
    content = b"".join(parts)
    seal = Seal(
        records=records,
        content_bytes=len(content),
        sealed_ns=created_ns,
        sha256=hashlib.sha256(content).digest(),
    )
    return content + encode_seal(seal, seed=header.seed)


def ingest_payload(
    rows: TickArray,
    *,
    tenant: UUID,
    stream: UUID,
    first_sequence: int,
    receive_ns: int = 1_700_000_000_000_000_000,
    broker_offset_s: int = 0,
    trace_id: bytes = bytes(16),
    span_id: bytes = bytes(8),
) -> bytes:
    """An ingest record as the bridge writes it."""
    header = IngestHeader(
        tenant=tenant,
        stream=stream,
        first_sequence=first_sequence,
        count=len(rows),
        receive_ns=receive_ns,
        broker_offset_s=broker_offset_s,
        trace_id=trace_id,
        span_id=span_id,
        row_bytes=ROW_BYTES,
    )
    return encode_header(header) + rows.tobytes()
