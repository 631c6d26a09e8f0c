"""Bodies of control frames: canonical JSON, so that later versions can add members.

Canonical means: members in the order declared here, a member that has its default left out, no
white space, UTF-8. A reader ignores members it does not know and refuses wrong types.
"""

from typing import Annotated, Final
from uuid import UUID

import msgspec

from aitrading.core.protocol.storable import STORABLE

STREAMS_PER_FRAME_MAX: Final = 128
"""Streams one HELLO or OPEN declares; a client with more sends several OPEN frames."""
SYMBOLS_MAX: Final = 1_024
FEATURES_MAX: Final = 32
CHECKPOINT_CHARS_MAX: Final = 4_096
DAYS_PER_FRAME_MAX: Final = 128
GAPS_PER_FRAME_MAX: Final = 64
DAY_MAX: Final = 1 << 20
"""The last day that is counted; a terminal with a broken clock may give ticks of later ones."""
DAY_TICKS_MAX: Final = 1_000_000_000
"""More than eleven a millisecond, all day: no feed has so many."""
FEATURE_TRUTH: Final = "feed-truth"
"""Both sides know DAYS, GAPS and REPAIR."""
FEATURE_SETTINGS: Final = "settings"
"""Both sides know SETTINGS."""
FEATURE_HOLD: Final = "hold"
"""The client keeps the ticks of a stream that is refused with `LINK_SUBSCRIPTION_INACTIVE`."""
FEATURE_WAIT: Final = "wait"
"""The client does the same with `LINK_UNCHECKED`."""
NO_HANDLE: Final = 0
TICKS_KIND: Final = "ticks"

Handle = Annotated[int, msgspec.Meta(ge=1, le=(1 << 31) - 1)]
Sequence = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
Timestamp = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=128, pattern=STORABLE)]
ShortText = Annotated[str, msgspec.Meta(max_length=512, pattern=STORABLE)]
Checkpoint = Annotated[str, msgspec.Meta(max_length=CHECKPOINT_CHARS_MAX, pattern=STORABLE)]
Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
Words = Annotated[str, msgspec.Meta(max_length=512)]
"""Free words, such as a terminal's own: they end no link, and who keeps them makes them `storable`."""
Code = Annotated[str, msgspec.Meta(pattern="^[A-Z][A-Z0-9_]{0,63}$")]
RowDigest = Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{32})?$")]
Features = Annotated[tuple[Text, ...], msgspec.Meta(max_length=FEATURES_MAX)]


class StreamDeclaration(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A stream as the client knows it; both sides derive its id (`StreamKey.stream_id`)."""

    handle: Handle
    """The client's number for the stream on this connection; never reused on it."""
    broker: Text
    login: Count
    symbol: Text
    epoch: Annotated[int, msgspec.Meta(ge=1, le=(1 << 32) - 1)]
    digits: Annotated[int, msgspec.Meta(ge=0, le=10)]
    last_sequence: Sequence = 0
    """Highest sequence the client has assigned; the server learns the backlog from it."""
    kind: Text = TICKS_KIND
    """What flows on it; a server refuses the single stream whose kind it does not know."""


class StreamGrant(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The server's answer to one declaration."""

    handle: Handle
    durable_sequence: Sequence = 0
    """The server stores everything up to here; the client sends what follows."""
    refused: Code | None = None
    """Why the stream may not be used; the rest of the link goes on."""
    durable_ms: Timestamp = 0
    """UTC of the tick `durable_sequence`, when the server knows it."""
    durable_digest: RowDigest = ""
    """That tick's digest (`domain.stream_days`); empty when the server does not know it."""


Declarations = Annotated[
    tuple[StreamDeclaration, ...], msgspec.Meta(max_length=STREAMS_PER_FRAME_MAX)
]
Grants = Annotated[tuple[StreamGrant, ...], msgspec.Meta(max_length=STREAMS_PER_FRAME_MAX)]


class Hello(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The client's first frame."""

    software: Text
    versions: Annotated[tuple[int, ...], msgspec.Meta(min_length=1, max_length=16)]
    """Link versions the client speaks; HELLO and HELLO_ACK themselves keep layout 1 for good."""
    client_time_ns: Timestamp
    frame_bytes_max: Annotated[int, msgspec.Meta(ge=4_096, le=1 << 26)]
    features: Features = ()
    """Optional parts the client offers, such as `log` or `signal`."""
    life: ShortText = ""
    """Names this run of the client and is on no disk: a copy of its home has another one."""
    resume_session: ShortText = ""
    """The session this one continues, for the logs of both sides."""
    traceparent: ShortText = ""
    checkpoint: Checkpoint = ""
    """The newest audit checkpoint this client has witnessed."""
    streams: Declarations = ()


class HelloAck(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The server's answer: the link is usable from here on."""

    version: int
    session: Text
    software: Text
    server_time_ns: Timestamp
    frame_bytes_max: Annotated[int, msgspec.Meta(ge=4_096, le=1 << 26)]
    batch_ticks_max: Annotated[int, msgspec.Meta(ge=1, le=1 << 20)]
    window_ticks: Annotated[int, msgspec.Meta(ge=1, le=1 << 32)]
    """Ticks, over all streams, that may be sent and not yet acknowledged."""
    ping_interval_ms: Annotated[int, msgspec.Meta(ge=100, le=3_600_000)]
    idle_timeout_ms: Annotated[int, msgspec.Meta(ge=200, le=7_200_000)]
    epoch: Count = 0
    """Grows when the server's state was restored or rebuilt; signals will depend on it."""
    features: Features = ()
    """The optional parts both sides use."""
    checkpoint: Checkpoint = ""
    """The server's newest signed audit checkpoint."""
    streams: Grants = ()


class Open(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Further streams, at any time after HELLO_ACK."""

    streams: Declarations


class OpenAck(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answers to one OPEN, in its order."""

    streams: Grants


class Subscribe(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which symbols of an account the server wants; each message replaces the one before.

    An empty account (`broker` and `login`) means every account of the device.
    """

    revision: Count
    symbols: Annotated[tuple[Text, ...], msgspec.Meta(max_length=SYMBOLS_MAX)]
    broker: ShortText = ""
    login: Count = 0


class Notice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Body of ERROR (the link goes on) and CLOSE (it ends with this frame)."""

    code: Code
    message: Words = ""
    handle: Annotated[int, msgspec.Meta(ge=0, le=(1 << 31) - 1)] = NO_HANDLE
    """The stream an ERROR is about; the sender of that stream stops using it."""
    retry_after_ms: Count = 0
    """Earliest moment to come back after CLOSE; 0 leaves it to the client's backoff."""


class DaySummary(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the client counted of one stream and day, among sequences up to `last_sequence`."""

    handle: Handle
    day: Timestamp
    """Days since 1970, UTC; the server leaves out what is not within 0 and `DAY_MAX`."""
    ticks: Annotated[int, msgspec.Meta(ge=0, le=DAY_TICKS_MAX)]
    digest: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
    """See `domain.stream_days`."""
    last_sequence: Sequence
    counted_from: Annotated[int, msgspec.Meta(ge=1, le=(1 << 63) - 1)] = 1
    """The client counts since this sequence; earlier ticks of the day it did not count."""
    is_over: bool = False
    """The day has ended; what comes for it now came late."""


class Days(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Summaries that changed; each replaces the one of its stream and day."""

    days: Annotated[tuple[DaySummary, ...], msgspec.Meta(max_length=DAYS_PER_FRAME_MAX)]


class GapNote(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Ticks that the client knows it lost: a range of sequences, or a stretch of UTC time."""

    stream: UUID
    reason: Reason
    noticed_ns: Timestamp
    first: Sequence = 0
    last: Sequence = 0
    from_ms: Timestamp = 0
    until_ms: Timestamp = 0


class RepairDone(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to a REPAIR: the missing ticks travel as these sequences, or why they do not."""

    gap: UUID
    stream: UUID
    first: Sequence = 0
    last: Sequence = 0
    """Below `first` when the terminal has nothing there."""
    problem: Words = ""


class FeedNote(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why no ticks come on a stream, as far as its client knows; empty when they come again."""

    handle: Handle
    why: Words = ""


class Gaps(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Losses, repairs that are finished, and silent feeds; saying one again changes nothing."""

    gaps: Annotated[tuple[GapNote, ...], msgspec.Meta(max_length=GAPS_PER_FRAME_MAX)] = ()
    repaired: Annotated[tuple[RepairDone, ...], msgspec.Meta(max_length=GAPS_PER_FRAME_MAX)] = ()
    feeds: Annotated[tuple[FeedNote, ...], msgspec.Meta(max_length=GAPS_PER_FRAME_MAX)] = ()


class Repair(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The server lacks ticks of a stretch of UTC time, both ends inside.

    Of those at `from_ms` it has the first `has_first`, of those at `until_ms` the last `has_last`.
    """

    gap: UUID
    handle: Handle
    from_ms: Timestamp
    until_ms: Timestamp
    has_first: Count = 0
    has_last: Count = 0
    expected: Count = 0
    """How many are missing exactly; 0 when nobody knows."""


class SettingsNews(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The server may have other settings for this device; it asks for them with a signed request."""

    version: Count = 0
    """The version they had when they were signed last; 0 when nobody knows."""
