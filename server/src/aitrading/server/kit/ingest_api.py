"""What the data bridge and the database service say to each other about ticks.

* `PUT /internal/v1/streams` with `OpenStreams` gives `StreamMarks`: registers streams before their
  first tick, or again after a restart, and tells what is stored of each. Repeating it is harmless.
* `GET /internal/v1/marks?tenant=…&device=…` gives `StreamMarks` of every stream of a device.
* `POST /internal/v1/segments/{segment}` with the bytes of a sealed spool segment of ingest records
  gives `SegmentStored`; the sender may then delete the segment. `{segment}` is `segment_name`.
  A segment that can never be stored is answered with 422 `SEGMENT_QUARANTINED` (field `cause`):
  the sender keeps its copy aside and goes on. Everything else is worth a repeat with the same
  bytes: each tick is stored exactly once, however often and in whatever order segments arrive.
* `GET /internal/v1/quotes?tenant=…` gives `LastQuotes`.
"""

import re
from typing import Annotated, Final
from uuid import UUID

import msgspec

STREAMS_PATH: Final = "/internal/v1/streams"
MARKS_PATH: Final = "/internal/v1/marks"
SEGMENT_PATH: Final = "/internal/v1/segments/{segment}"
QUOTES_PATH: Final = "/internal/v1/quotes"
SEGMENT_BYTES_MAX: Final = 64 * 1024 * 1024
"""Largest segment the database service takes."""
STREAMS_PER_CALL_MAX: Final = 1_024
GAPS_SHOWN_MAX: Final = 16
SEGMENT_NAME: Final = re.compile(r"[0-9a-f]{32}-[0-9a-f]{16}", re.ASCII)
"""What `segment_name` makes."""


class StreamOpening(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One stream of a device, as `domain.instruments.StreamKey` names it."""

    broker: str
    login: int
    symbol: str
    epoch: int
    digits: int


class OpenStreams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Streams of one device; tenant and device come from its certificate."""

    tenant: UUID
    device: UUID
    streams: Annotated[
        tuple[StreamOpening, ...], msgspec.Meta(min_length=1, max_length=STREAMS_PER_CALL_MAX)
    ]


class SequenceGap(msgspec.Struct, frozen=True, kw_only=True):
    """Sequence numbers that are not stored although later ones are."""

    first: int
    last: int


class StreamMark(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored of one stream."""

    stream: UUID
    last_sequence: int
    """Highest sequence stored; 0 when there is none."""
    missing: int
    """How many below it are not stored."""
    gaps: tuple[SequenceGap, ...] = ()
    """The newest holes, at most `GAPS_SHOWN_MAX`."""
    last_ms: int = 0
    last_digest: str = ""
    """Of the tick `last_sequence` (`domain.stream_days.TickMark`), where streams are opened."""


class StreamMarks(msgspec.Struct, frozen=True, kw_only=True):
    """Marks in the order of the question."""

    marks: tuple[StreamMark, ...]


class SegmentStored(msgspec.Struct, frozen=True, kw_only=True):
    """Every tick of the segment is stored, durably and once."""

    segment: str
    repeated: bool
    """Nothing was done: the whole segment had been stored before."""
    rows: int
    inserted: int
    """Rows that were new; the others had come in earlier segments."""
    marks: tuple[StreamMark, ...] = ()


class LastQuote(msgspec.Struct, frozen=True, kw_only=True):
    """The newest stored quote of a symbol; prices are decimal strings."""

    symbol: str
    stream: UUID
    sequence: int
    time: str
    bid: str | None
    ask: str | None


class LastQuotes(msgspec.Struct, frozen=True, kw_only=True):
    """Newest quotes of a tenant; `source` is `cache`, or `store` while the cache is away."""

    source: str
    quotes: tuple[LastQuote, ...]


def segment_name(spool: UUID, segment_id: int) -> str:
    """How a segment is called in paths, logs and labels of inserts."""
    return f"{spool.hex}-{segment_id:016x}"
