"""What the journal takes, and how a batch lies in its spool: as an ingest record."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from aitrading.client.metatrader_connector.stream_state import TickStream
from aitrading.core.domain.market import ROW_BYTES, TickArray, TickBatch
from aitrading.core.protocol.ingest import IngestHeader, decode_record, encode_header

BATCH_TICKS_MAX: Final = 2_000
"""Ticks of one record and one frame: 48,000 bytes, below the link's frame limit."""


@dataclass(frozen=True, kw_only=True)
class Taken:
    """New rows of one stream, as the poller took them from the terminal."""

    stream: TickStream
    rows: TickArray
    receive_ns: int
    broker_offset_s: int


def in_groups(taken: Iterable[Taken], ticks_max: int) -> Iterator[list[Taken]]:
    """Cut and group rows, in order, so that no group has more ticks than that."""
    group: list[Taken] = []
    room = ticks_max
    for part in taken:
        rows = part.rows
        while len(rows):
            group.append(replace(part, rows=rows[:room]))
            rows, room = rows[room:], room - min(room, len(rows))
            if not room:
                yield group
                group, room = [], ticks_max
    if group:
        yield group


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One stored batch and its position in the spool."""

    position: int
    batch: TickBatch


def encode_batches(
    part: Taken, tenant: UUID, trace: bytes, span: bytes, ticks_max: int = BATCH_TICKS_MAX
) -> Iterator[bytes]:
    """The records of one part, each with its sequences; all of them share a trace."""
    first = part.stream.next_sequence
    for start in range(0, len(part.rows), ticks_max):
        rows = part.rows[start : start + ticks_max]
        header = IngestHeader(
            tenant=tenant,
            stream=part.stream.id,
            first_sequence=first + start,
            count=len(rows),
            receive_ns=part.receive_ns,
            broker_offset_s=part.broker_offset_s,
            trace_id=trace,
            span_id=span,
            row_bytes=ROW_BYTES,
        )
        yield encode_header(header) + rows.tobytes()


def decode_batch(payload: bytes | memoryview, *, is_history: bool = False) -> TickBatch:
    """Read one record; the rows are a view."""
    record = decode_record(payload)
    header = record.header
    return TickBatch(
        stream=header.stream,
        first_sequence=header.first_sequence,
        count=header.count,
        receive_ns=header.receive_ns,
        broker_offset_s=header.broker_offset_s,
        rows=record.rows,
        trace_id=header.trace_id,
        span_id=header.span_id,
        is_history=is_history,
    )
