"""Ticks in bulk: the row, and a batch of consecutive rows."""

from enum import IntFlag
from typing import Any, Final
from uuid import UUID

import msgspec
import numpy as np
from numpy.typing import NDArray

from aitrading.core.domain.error_codes import TICKS_MALFORMED
from aitrading.core.domain.price import FLOAT_NOISE, POINTS_MAX

TICK_DTYPE: Final = np.dtype(
    [
        ("event_ms", "<i8"),  # broker server's wall clock, as the terminal gives it
        ("bid", "<i4"),  # points; 0 = no bid
        ("ask", "<i4"),  # points; 0 = no ask
        ("last", "<i4"),  # points; 0 = no last deal
        ("flags", "<u2"),  # TickFlag
        ("doubt", "<u2"),  # Doubt, by the server alone: what a client writes here is ignored
    ]
)
"""Row format 1, 24 bytes, little-endian: what travels on the link, lies in spools, is inserted."""
ROW_FORMAT: Final = 1
ROW_BYTES: Final = TICK_DTYPE.itemsize
NO_TRACE_ID: Final = bytes(16)
NO_SPAN_ID: Final = bytes(8)

TickArray = NDArray[np.void]


class TickFlag(IntFlag):
    """What changed with a tick (MetaTrader 5's numbers)."""

    BID = 2
    ASK = 4
    LAST = 8
    VOLUME = 16
    BUY = 32
    SELL = 64


class TickBatch(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Consecutive ticks of one stream: row i has sequence `first_sequence` + i (from 1 on).

    `rows` are `count` rows of `TICK_DTYPE`; a view stays valid as long as its owner does.
    """

    stream: UUID
    first_sequence: int
    count: int
    receive_ns: int
    """Connector's wall clock when it took the rows from the terminal."""
    broker_offset_s: int
    """Broker server time minus UTC."""
    rows: bytes | bytearray | memoryview
    trace_id: bytes = NO_TRACE_ID
    span_id: bytes = NO_SPAN_ID
    is_history: bool = False
    """Fetched again from the terminal's history; `trace_id` is then the gap it repairs."""

    @property
    def last_sequence(self) -> int:
        """Sequence of the last row."""
        return self.first_sequence + self.count - 1

    def array(self) -> TickArray:
        """The rows without a copy; read-only when the bytes are."""
        return np.frombuffer(self.rows, TICK_DTYPE)

    def after(self, sequence: int) -> "TickBatch | None":
        """What remains of the batch behind a sequence; None when nothing does."""
        skip = sequence - self.first_sequence + 1
        if skip <= 0:
            return self
        if skip >= self.count:
            return None
        rows = memoryview(self.rows)[skip * ROW_BYTES :]
        return msgspec.structs.replace(
            self, first_sequence=sequence + 1, count=self.count - skip, rows=rows
        )

    def up_to(self, count: int) -> "TickBatch":
        """At most the first `count` rows."""
        if count >= self.count:
            return self
        rows = memoryview(self.rows)[: count * ROW_BYTES]
        return msgspec.structs.replace(self, count=count, rows=rows)


def make_batch(
    stream: UUID,
    first_sequence: int,
    rows: TickArray,
    *,
    receive_ns: int,
    broker_offset_s: int,
    trace_id: bytes = NO_TRACE_ID,
    span_id: bytes = NO_SPAN_ID,
) -> TickBatch:
    """Pack an array of `TICK_DTYPE`; raises `TICKS_MALFORMED` for any other array."""
    if rows.dtype != TICK_DTYPE or rows.ndim != 1 or not len(rows):
        actual = f"{rows.dtype} with shape {rows.shape}"
        raise TICKS_MALFORMED.error(field="rows", expected="1 … n rows of 24 bytes", actual=actual)
    return TickBatch(
        stream=stream,
        first_sequence=first_sequence,
        count=len(rows),
        receive_ns=receive_ns,
        broker_offset_s=broker_offset_s,
        rows=rows.tobytes(),
        trace_id=trace_id,
        span_id=span_id,
    )


def points_of(prices: NDArray[np.float64], digits: int) -> tuple[NDArray[np.int32], NDArray[Any]]:
    """Turn a column of a terminal's doubles into points; also tells which are representable.

    The vectorised sibling of `price.to_points`: entries whose mask is False hold 0 and must not
    be used as prices.
    """
    scaled = np.asarray(prices, np.float64) * 10.0**digits
    with np.errstate(invalid="ignore"):
        points = np.rint(scaled)
        good = (np.abs(scaled - points) <= FLOAT_NOISE) & (np.abs(points) <= POINTS_MAX)
    return np.where(good, points, 0).astype(np.int32), good
