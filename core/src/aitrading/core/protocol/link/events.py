"""What a session tells its owner."""

import msgspec

from aitrading.core.domain.market import TickBatch
from aitrading.core.kit.errors import AitradingError
from aitrading.core.protocol.link.messages import (
    Days,
    Gaps,
    Hello,
    HelloAck,
    Notice,
    Repair,
    SettingsNews,
    StreamDeclaration,
    StreamGrant,
    Subscribe,
)


class HelloReceived(msgspec.Struct, frozen=True, gc=False):
    """Server: a client greets; answer with `accept` or `close`."""

    hello: Hello


class StreamsRequested(msgspec.Struct, frozen=True, gc=False):
    """Server: the client opens further streams; answer with `grant`."""

    declarations: tuple[StreamDeclaration, ...]


class TicksReceived(msgspec.Struct, frozen=True, gc=False):
    """Server: new ticks in order; what was received before has been cut off already."""

    handle: int
    batch: TickBatch
    link_delay_us: int
    """How long the client held the batch before sending it; saturates at 71 minutes."""


class Gap(msgspec.Struct, frozen=True, gc=False):
    """Server: these sequences will never come; the client no longer has them.

    Comes before the `TicksReceived` that follows the gap.
    """

    handle: int
    first_missing: int
    last_missing: int


class DaysTold(msgspec.Struct, frozen=True, gc=False):
    """Server: what the client counted of some streams and days."""

    days: Days


class GapsTold(msgspec.Struct, frozen=True, gc=False):
    """Server: what the client lost, and repairs it finished."""

    gaps: Gaps


class RepairAsked(msgspec.Struct, frozen=True, gc=False):
    """Client: the server lacks ticks that the terminal may still have."""

    repair: Repair


class SettingsTold(msgspec.Struct, frozen=True, gc=False):
    """Client: the server may have other settings for this device."""

    news: SettingsNews


class Established(msgspec.Struct, frozen=True, gc=False):
    """Client: the server answered; a `StreamOpened` follows for each declared stream."""

    ack: HelloAck


class StreamOpened(msgspec.Struct, frozen=True, gc=False):
    """Client: send what follows `grant.durable_sequence`."""

    declaration: StreamDeclaration
    grant: StreamGrant


class StreamRefused(msgspec.Struct, frozen=True, gc=False):
    """Client: the server will not take this stream (its code says why)."""

    declaration: StreamDeclaration
    code: str


class StreamAhead(msgspec.Struct, frozen=True, gc=False):
    """Client: the server stores more than this client remembers sending.

    The client's state was lost or restored from a copy. Nothing may be sent before it is known
    where in the terminal's history the server is: then `ClientSession.resume`, or a later epoch.
    """

    declaration: StreamDeclaration
    grant: StreamGrant


class Acknowledged(msgspec.Struct, frozen=True, gc=False):
    """Client: everything up to `sequence` is durable on the server and may be forgotten."""

    handle: int
    sequence: int


class Subscribed(msgspec.Struct, frozen=True, gc=False):
    """Client: the server wants these symbols."""

    subscription: Subscribe


class ErrorReported(msgspec.Struct, frozen=True, gc=False):
    """Either: the peer reports a problem and the link goes on."""

    notice: Notice


class LatencyMeasured(msgspec.Struct, frozen=True, gc=False):
    """Either: a PONG came back."""

    round_trip_ns: int
    peer_time_ns: int
    """The peer's wall clock when it answered."""


class PeerClosed(msgspec.Struct, frozen=True, gc=False):
    """Either: the peer ends the link; nothing follows."""

    notice: Notice


class Failed(msgspec.Struct, frozen=True, gc=False):
    """Either: this side ends the link because of `error`; send `outgoing()`, then close."""

    error: AitradingError


ServerEvent = (
    HelloReceived
    | StreamsRequested
    | TicksReceived
    | Gap
    | DaysTold
    | GapsTold
    | ErrorReported
    | LatencyMeasured
    | PeerClosed
    | Failed
)
ClientEvent = (
    Established
    | StreamOpened
    | StreamRefused
    | StreamAhead
    | Acknowledged
    | Subscribed
    | RepairAsked
    | SettingsTold
    | ErrorReported
    | LatencyMeasured
    | PeerClosed
    | Failed
)
