"""Many TICKS frames at once: a peer that sends every tick by itself must not cost a call for each.

`read_burst` looks at frames of one size together and gives what is plainly in order as batches,
cut where another stream, another broker clock, another moment of receipt or a followed trace
begins. Whatever is not plain - a wrong checksum, a gap, a repeat, a flag - ends it there: the rest
is for the code that reads frame by frame, so that there is one place that refuses.
"""

import zlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aitrading.core.domain.market import NO_SPAN_ID, ROW_BYTES, ROW_FORMAT
from aitrading.core.kit.clock import NS_PER_MS
from aitrading.core.protocol.link.frames import (
    HEADER_BYTES,
    MAGIC,
    MUST_UNDERSTAND,
    SEQUENCE_MAX,
    TICKS_HEADER_BYTES,
    FrameType,
)
from aitrading.core.protocol.versions import LINK_VERSION

BURST_FRAMES_MIN: Final = 4
"""Fewer frames are read one by one sooner."""
SAME_MOMENT_NS: Final = 5 * NS_PER_MS
"""Ticks taken from the terminal in one such stretch of time become one batch."""
_CHECKED_FROM: Final = 8
_TRACE_BYTES: Final = 16
_SPAN_BYTES: Final = len(NO_SPAN_ID)
_HEADS_BYTES: Final = HEADER_BYTES + TICKS_HEADER_BYTES

Frames = NDArray[np.void]
Booleans = NDArray[np.bool_]


class PlainTicks(NamedTuple):
    """Rows of consecutive sequences of one stream, from one or more frames."""

    handle: int
    first_sequence: int
    ticks: int
    frames: int
    receive_ns: int
    broker_offset_s: int
    link_delay_us: int
    trace_id: bytes
    span_id: bytes
    rows: bytes


def by_size(messages: Sequence[bytes]) -> Iterator[list[bytes]]:
    """Neighbours of one size together, in order."""
    return (list(run) for _, run in groupby(messages, len))


def read_burst(messages: Sequence[bytes], *, batch_ticks_max: int) -> list[PlainTicks]:
    """The plain beginning of frames of one size; empty when not even the first is plain.

    The frames of the answer are a prefix of `messages`: `sum(each.frames for each in answer)`.
    Sequences within one piece follow each other; whether the first one is the next of its stream
    is for the caller to see.
    """
    count = _rows_in(len(messages[0]))
    if not 1 <= count <= batch_ticks_max:
        return []
    frames = np.frombuffer(b"".join(messages), _layout(count))
    plain = _plain(frames, messages, count)
    good = len(frames) if plain.all() else int(plain.argmin())
    return _pieces(frames[:good], count) if good else []


def _rows_in(size: int) -> int:
    """How many rows a TICKS frame of this size has; 0 when none has this size."""
    rows, rest = divmod(size - _HEADS_BYTES, ROW_BYTES)
    return 0 if rest else rows


@lru_cache(maxsize=64)
def _layout(count: int) -> "np.dtype[np.void]":
    """A TICKS frame with so many rows; `frames.py` has the same bytes as format strings."""
    return np.dtype(
        [
            ("magic", "S4"),
            ("checksum", "<u4"),
            ("version", "u1"),
            ("type", "u1"),
            ("flags", "<u2"),
            ("body_bytes", "<u4"),
            ("sequence", "<u8"),
            ("stream", "<u4"),
            ("extension_bytes", "<u2"),
            ("rest", "<u2"),
            ("ticks", "<u4"),
            ("row_bytes", "<u2"),
            ("row_format", "<u2"),
            ("broker_offset_s", "<i4"),
            ("link_delay_us", "<u4"),
            ("receive_ns", "<i8"),
            ("trace_id", "u1", (_TRACE_BYTES,)),
            ("span_id", f"V{_SPAN_BYTES}"),
            ("rows", f"V{count * ROW_BYTES}"),
        ]
    )


def _plain(frames: Frames, messages: Sequence[bytes], count: int) -> Booleans:
    """Which frames are whole and carry nothing but ticks in the usual way."""
    crc32 = zlib.crc32
    checksums = np.array([crc32(message[_CHECKED_FROM:]) for message in messages], np.uint32)
    expected: dict[str, Any] = {
        "magic": MAGIC,
        "version": LINK_VERSION,
        "type": int(FrameType.TICKS),
        "body_bytes": TICKS_HEADER_BYTES + count * ROW_BYTES,
        "extension_bytes": 0,
        "rest": 0,
        "ticks": count,
        "row_bytes": ROW_BYTES,
        "row_format": ROW_FORMAT,
    }
    plain: Booleans = frames["checksum"] == checksums
    plain &= (frames["flags"] & MUST_UNDERSTAND) == 0
    sequence = frames["sequence"]
    plain &= (sequence >= 1) & (sequence <= SEQUENCE_MAX - count)
    for name, value in expected.items():
        plain &= frames[name] == value
    return plain


def _pieces(frames: Frames, count: int) -> list[PlainTicks]:
    cuts = np.flatnonzero(_begins(frames, count))
    ends = [*cuts[1:].tolist(), len(frames)]
    return [_piece(frames[a:b], count) for a, b in zip(cuts.tolist(), ends, strict=True)]


def _begins(frames: Frames, count: int) -> Booleans:
    """Where a frame does not continue the batch of the frame before it."""
    begins = np.ones(len(frames), np.bool_)
    before, after = frames[:-1], frames[1:]
    moment = frames["receive_ns"] // SAME_MOMENT_NS
    begins[1:] = (
        (before["stream"] != after["stream"])
        | (before["sequence"] + np.uint64(count) != after["sequence"])
        | (before["broker_offset_s"] != after["broker_offset_s"])
        | (moment[:-1] != moment[1:])
    )
    return begins | are_followed(frames["trace_id"])


def are_followed(trace_ids: NDArray[np.uint8]) -> Booleans:
    """`tracecontext.is_followed` for many ids, one in each row."""
    followed: Booleans = trace_ids[:, -1] == 0
    if followed.any():
        words = np.ascontiguousarray(trace_ids).view(np.uint64)
        followed &= (words[:, 0] | words[:, 1]) != 0
    return followed


def _piece(frames: Frames, count: int) -> PlainTicks:
    first = frames[0]
    return PlainTicks(
        handle=int(first["stream"]),
        first_sequence=int(first["sequence"]),
        ticks=count * len(frames),
        frames=len(frames),
        receive_ns=int(first["receive_ns"]),
        broker_offset_s=int(first["broker_offset_s"]),
        link_delay_us=int(first["link_delay_us"]),
        trace_id=first["trace_id"].tobytes(),
        span_id=first["span_id"].tobytes(),
        rows=frames["rows"].tobytes(),
    )
