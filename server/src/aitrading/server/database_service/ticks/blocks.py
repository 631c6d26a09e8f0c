"""Turning pieces of batches into ClickHouse columns, all rows at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from aitrading.core.domain.market import ROW_BYTES, TICK_DTYPE
from aitrading.core.kit.clock import NS_PER_S
from aitrading.core.protocol.ingest import IngestHeader, IngestRecord
from aitrading.server.database_service.clickhouse.native import (
    Column,
    encode_block,
    uuid_columns,
)

TICKS_INTO: Final = (
    "market.ticks (tenant, stream, event_ms, sequence, bid, spread, last, flags,"
    " doubt, received_on)"
)
BATCHES_INTO: Final = (
    "market.tick_batches (tenant, stream, first_sequence, row_count, receive_ns,"
    " broker_offset_s, trace_id, span_id)"
)
_MS_PER_S: Final = 1_000
_DAY_NS: Final = 86_400 * NS_PER_S
_DAY_MAX: Final = 0xFFFF


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows of one batch that are to be stored: [first, last] in sequence numbers."""

    record: IngestRecord
    first: int
    last: int

    @property
    def count(self) -> int:
        """How many rows."""
        return self.last - self.first + 1

    @property
    def header(self) -> IngestHeader:
        """What is the same for all of them."""
        return self.record.header

    def rows(self) -> memoryview:
        """The bytes of the rows without a copy."""
        skip = (self.first - self.header.first_sequence) * ROW_BYTES
        return self.record.rows[skip : skip + self.count * ROW_BYTES]

    def newest_believed(self) -> tuple[int, np.void] | None:
        """The newest of them that is not in doubt, behind its sequence number."""
        rows = np.frombuffer(self.rows(), TICK_DTYPE)
        (believed,) = np.nonzero(rows["doubt"] == 0)
        if not len(believed):
            return None
        newest = int(believed[-1])
        return self.first + newest, rows[newest]


def in_storage_order(pieces: Sequence[Piece]) -> list[Piece]:
    """Pieces of one stream together, in sequence: what ClickHouse has to sort least."""
    return sorted(
        pieces, key=lambda piece: (piece.header.tenant, piece.header.stream, piece.first)
    )


def tick_block(pieces: Sequence[Piece]) -> bytes:
    """Rows of `market.ticks`, in the order of `TICKS_INTO`."""
    rows = np.frombuffer(b"".join([piece.rows() for piece in pieces]), TICK_DTYPE)
    counts = np.array([piece.count for piece in pieces])
    columns = (
        Column("tenant", "UUID", _ids(pieces, "tenant").repeat(counts, axis=0)),
        Column("stream", "UUID", _ids(pieces, "stream").repeat(counts, axis=0)),
        Column("event_ms", "Int64", _utc_ms(rows, pieces, counts)),
        Column("sequence", "UInt64", _sequences(pieces, counts)),
        Column("bid", "Int32", rows["bid"]),
        Column("spread", "Int32", rows["ask"] - rows["bid"]),
        Column("last", "Int32", rows["last"]),
        Column("flags", "UInt16", rows["flags"]),
        Column("doubt", "UInt8", rows["doubt"].astype("u1")),
        Column("received_on", "Date", _days(pieces).repeat(counts)),
    )
    return encode_block(columns, len(rows))


def batch_block(pieces: Sequence[Piece]) -> bytes:
    """Rows of `market.tick_batches`, in the order of `BATCHES_INTO`."""
    headers = [piece.header for piece in pieces]
    columns = (
        Column("tenant", "UUID", _ids(pieces, "tenant")),
        Column("stream", "UUID", _ids(pieces, "stream")),
        Column("first_sequence", "UInt64", np.array([p.first for p in pieces], "<u8")),
        Column("row_count", "UInt32", np.array([p.count for p in pieces], "<u4")),
        Column("receive_ns", "Int64", np.array([h.receive_ns for h in headers], "<i8")),
        Column("broker_offset_s", "Int32", np.array([h.broker_offset_s for h in headers], "<i4")),
        Column("trace_id", "FixedString(16)", _raw([h.trace_id for h in headers])),
        Column("span_id", "FixedString(8)", _raw([h.span_id for h in headers])),
    )
    return encode_block(columns, len(pieces))


def _ids(pieces: Sequence[Piece], field: str) -> NDArray[np.uint64]:
    return uuid_columns([getattr(piece.header, field) for piece in pieces])


def _utc_ms(
    rows: NDArray[np.void], pieces: Sequence[Piece], counts: NDArray[Any]
) -> NDArray[np.int64]:
    """Rows carry the broker's wall clock; the store has UTC."""
    offsets = np.array([piece.header.broker_offset_s for piece in pieces], "<i8") * _MS_PER_S
    return rows["event_ms"] - offsets.repeat(counts)


def _sequences(pieces: Sequence[Piece], counts: NDArray[Any]) -> NDArray[np.uint64]:
    firsts = np.array([piece.first for piece in pieces], "<u8")
    starts = np.concatenate(([0], np.cumsum(counts)[:-1])).astype("<u8")
    return np.arange(counts.sum(), dtype="<u8") + (firsts - starts).repeat(counts)


def received_day(header: IngestHeader) -> int:
    """Days since the epoch by the bridge's clock; a clock gone mad is kept within the type."""
    return min(max(0, header.receive_ns // _DAY_NS), _DAY_MAX)


def _days(pieces: Sequence[Piece]) -> NDArray[np.uint16]:
    return np.array([received_day(piece.header) for piece in pieces], "<u2")


def _raw(values: Sequence[bytes]) -> NDArray[np.void]:
    return np.frombuffer(b"".join(values), np.dtype((np.void, len(values[0]))))
