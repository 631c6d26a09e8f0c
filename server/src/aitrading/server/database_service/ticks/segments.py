"""Taking a sealed segment apart; pure, so that it can run in any thread."""

from dataclasses import dataclass
from functools import cached_property
from uuid import UUID

import numpy as np

from aitrading.core.domain.market import ROW_BYTES, TICK_DTYPE
from aitrading.core.protocol.ingest import IngestRecord, decode_record
from aitrading.core.protocol.segment import KIND_TICKS, read_segment
from aitrading.core.protocol.tracecontext import is_followed
from aitrading.server.database_service.errors import SEGMENT_MISNAMED, SEGMENT_RECORD_UNKNOWN
from aitrading.server.kit.ingest_api import segment_name


@dataclass(frozen=True, kw_only=True)
class TickSegment:
    """A segment whose every record is readable."""

    name: str
    spool: UUID
    segment_id: int
    checksum: bytes
    sealed_ns: int
    records: tuple[IngestRecord, ...]

    @property
    def rows(self) -> int:
        """Ticks in it, repeats included."""
        return sum(record.header.count for record in self.records)

    @property
    def streams(self) -> set[tuple[UUID, UUID]]:
        """(tenant, stream) of every record."""
        return {(record.header.tenant, record.header.stream) for record in self.records}

    @property
    def trace_id(self) -> str | None:
        """The trace of its newest batch whose way is logged."""
        return self.followed[-1].header.trace_id.hex() if self.followed else None

    @cached_property
    def spans_s(self) -> dict[tuple[UUID, UUID], tuple[int, int]]:
        """Of each stream the first and the last second (UTC) that it has a believed tick of."""
        spans: dict[tuple[UUID, UUID], tuple[int, int]] = {}
        for record in self.records:
            key = (record.header.tenant, record.header.stream)
            rows = np.frombuffer(record.rows, TICK_DTYPE)
            times_ms = rows["event_ms"][rows["doubt"] == 0]
            if not len(times_ms):
                continue
            offset_ms = record.header.broker_offset_s * 1_000
            low = max(0, (int(times_ms.min()) - offset_ms) // 1_000)
            high = max(0, (int(times_ms.max()) - offset_ms) // 1_000)
            known = spans.get(key, (low, high))
            spans[key] = min(low, known[0]), max(high, known[1])
        return spans

    @cached_property
    def followed(self) -> tuple[IngestRecord, ...]:
        """The batches whose way through all processes is logged."""
        return tuple(one for one in self.records if is_followed(one.header.trace_id))


def decode_segment(name: str, body: bytes) -> TickSegment:
    """Read a segment completely, or raise what is wrong with it.

    `SEGMENT_CORRUPT`, `SEGMENT_VERSION_UNSUPPORTED`, `SEGMENT_MISNAMED`,
    `SEGMENT_RECORD_UNKNOWN` or `INGEST_RECORD_MALFORMED`: none gets better by a repeat.
    """
    segment = read_segment(body)
    actual = segment_name(segment.header.spool, segment.header.segment_id)
    if actual != name:
        raise SEGMENT_MISNAMED.error(actual=actual, expected=name[:64])
    records: list[IngestRecord] = []
    for raw in segment.records:
        record = decode_record(raw.payload) if raw.kind == KIND_TICKS else None
        if record is None or record.header.row_bytes != ROW_BYTES:
            row_bytes = record.header.row_bytes if record else 0
            raise SEGMENT_RECORD_UNKNOWN.error(kind=raw.kind, row_bytes=row_bytes)
        records.append(record)
    return TickSegment(
        name=name,
        spool=segment.header.spool,
        segment_id=segment.header.segment_id,
        checksum=segment.seal.sha256,
        sealed_ns=segment.seal.sealed_ns,
        records=tuple(records),
    )
