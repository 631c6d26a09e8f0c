"""What both ends of a link share: states, heartbeat, limits, orderly and disorderly ends."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Generic, TypeVar

from aitrading.core.kit.clock import NS_PER_MS, Clock
from aitrading.core.kit.errors import AitradingError, ErrorSpec
from aitrading.core.protocol.error_codes import (
    LINK_FEATURE_UNKNOWN,
    LINK_FRAME_TOO_LARGE,
    LINK_LIMIT_EXCEEDED,
    LINK_ORDER_VIOLATED,
    LINK_SILENT,
    LINK_STATE_WRONG,
)
from aitrading.core.protocol.link.events import (
    ErrorReported,
    Failed,
    LatencyMeasured,
    PeerClosed,
)
from aitrading.core.protocol.link.frames import (
    BATCH_TICKS_MAX,
    FRAME_BYTES_MAX,
    IGNORABLE_TYPES_FROM,
    Frame,
    FrameType,
    PingBody,
    decode_control,
    decode_frame,
    decode_ping,
    encode_control,
    encode_ping,
    unknown_flags,
)
from aitrading.core.protocol.link.messages import Notice

PINGS_BURST_MAX: Final = 16
"""Pings a peer may send beyond four per heartbeat interval."""
FRAMES_QUEUED_MAX: Final = 4_096
"""Control frames that may wait for the owner to send them."""
NOTICE_CHARS_MAX: Final = 500

CommonEvent = LatencyMeasured | ErrorReported | PeerClosed | Failed
Event = TypeVar("Event")


class SessionState(StrEnum):
    """Where a session is; it only moves forward, a reconnect is a new session."""

    NEW = "NEW"
    GREETING = "GREETING"
    OPEN = "OPEN"
    CLOSED = "CLOSED"


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkLimits:
    """What one end allows; the server's limits count, of two frame limits the smaller."""

    frame_bytes_max: int = FRAME_BYTES_MAX
    batch_ticks_max: int = BATCH_TICKS_MAX
    window_ticks: int = 131_072
    streams_max: int = 1_024
    ping_interval_ms: int = 15_000
    idle_timeout_ms: int = 40_000
    greeting_timeout_ms: int = 10_000


@dataclass(slots=True)
class SessionStatistics:
    """Counters since the session began."""

    frames_received: int = 0
    bytes_received: int = 0
    frames_sent: int = 0
    bytes_sent: int = 0
    ticks: int = 0
    duplicate_ticks: int = 0
    gaps: int = 0


class InFlight:
    """Ticks of one stream between sending and durability, counted by batch."""

    __slots__ = ("_batches", "ticks")

    def __init__(self) -> None:
        self._batches: deque[tuple[int, int]] = deque()
        self.ticks = 0

    def add(self, last_sequence: int, count: int) -> None:
        """Remember a batch."""
        self._batches.append((last_sequence, count))
        self.ticks += count

    def settle(self, sequence: int) -> int:
        """Forget the batches that end at or before a sequence; tell how many ticks that were."""
        before = self.ticks
        while self._batches and self._batches[0][0] <= sequence:
            self.ticks -= self._batches.popleft()[1]
        return before - self.ticks


class Machine(Generic[Event]):
    """One end of a link: messages in, events and messages out; never touches a socket or a task.

    Bad input never raises: it yields `Failed` and a CLOSE frame, and the session is over.
    """

    def __init__(self, clock: Clock, limits: LinkLimits) -> None:
        self._clock = clock
        self._limits = limits
        self._state = SessionState.NEW
        self._out: list[bytes] = []
        self._statistics = SessionStatistics()
        self._began_ns = self._received_ns = self._pinged_ns = clock.monotonic_ns()
        self._pings_seen = 0
        self._dispatch: dict[int, Callable[[Frame, list[Event | CommonEvent]], None]] = {
            FrameType.PING: self._on_ping,
            FrameType.PONG: self._on_pong,
            FrameType.ERROR: self._on_error,
            FrameType.CLOSE: self._on_close,
        }

    @property
    def state(self) -> SessionState:
        """Where the session is."""
        return self._state

    @property
    def limits(self) -> LinkLimits:
        """What is agreed; before HELLO_ACK, what this side would accept."""
        return self._limits

    def statistics(self) -> SessionStatistics:
        """The counters, live."""
        return self._statistics

    def receive(self, message: bytes | bytearray | memoryview) -> list[Event | CommonEvent]:
        """Take one binary message; a view must stay valid as long as its events are used."""
        events: list[Event | CommonEvent] = []
        if self._state is SessionState.CLOSED:
            return events
        self._count_received(1, len(message))
        try:
            frame = decode_frame(message, self._limits.frame_bytes_max)
            self._received_ns = self._clock.monotonic_ns()
            self._handle(frame, events)
        except AitradingError as exc:
            events.append(self._fail(exc))
        return events

    def receive_all(self, messages: Sequence[bytes]) -> list[Event | CommonEvent]:
        """Take binary messages that came together: what `receive` gives for one after the other.

        Ticks of several of them may be in one event.
        """
        events: list[Event | CommonEvent] = []
        for message in messages:
            events += self.receive(message)
        return events

    def outgoing(self) -> list[bytes]:
        """Take the messages to send, in order; each is one binary message."""
        self._flush()
        messages, self._out = self._out, []
        return messages

    def poll(self) -> list[Event | CommonEvent]:
        """Let time act: heartbeat and time-outs. Call it at least four times a second."""
        if self._state in (SessionState.NEW, SessionState.CLOSED):
            return []
        try:
            self._check_time(self._clock.monotonic_ns())
        except AitradingError as exc:
            return [self._fail(exc)]
        return []

    def close(self, spec: ErrorSpec, *, retry_after_ms: int = 0) -> None:
        """End the session and tell the peer why; send `outgoing()` before closing the socket."""
        if self._state is not SessionState.CLOSED:
            self._end(Notice(code=spec.code, message=spec.message, retry_after_ms=retry_after_ms))

    def _count_received(self, count: int, size_bytes: int) -> None:
        self._statistics.frames_received += count
        self._statistics.bytes_received += size_bytes

    def _handle(self, frame: Frame, events: list[Event | CommonEvent]) -> None:
        handler = self._dispatch.get(frame.type)
        if handler is None:
            if frame.type < IGNORABLE_TYPES_FROM:
                raise LINK_FEATURE_UNKNOWN.error(what=f"frame type {frame.type}")
            return
        if unknown := unknown_flags(frame):
            raise LINK_FEATURE_UNKNOWN.error(what=f"flags {unknown:#06x}")
        handler(frame, events)

    def _check_time(self, now_ns: int) -> None:
        greeting = self._state is SessionState.GREETING
        limit_ms = self._limits.greeting_timeout_ms if greeting else self._limits.idle_timeout_ms
        silent_ms = (now_ns - self._received_ns) // NS_PER_MS
        if silent_ms >= limit_ms:
            raise LINK_SILENT.error(silent_ms=silent_ms, limit_ms=limit_ms)
        pause_ms = (now_ns - self._pinged_ns) // NS_PER_MS
        if not greeting and pause_ms >= self._limits.ping_interval_ms:
            self._pinged_ns = now_ns
            self._send(encode_ping(FrameType.PING, PingBody(now_ns, self._clock.now_ns())))

    def _on_ping(self, frame: Frame, events: list[Event | CommonEvent]) -> None:  # noqa: ARG002 - one shape for every handler
        self._require_open(FrameType.PING)
        ping = decode_ping(frame)
        self._pings_seen += 1
        age_ms = (self._clock.monotonic_ns() - self._began_ns) // NS_PER_MS
        allowed = PINGS_BURST_MAX + 4 * age_ms // self._limits.ping_interval_ms
        if self._pings_seen > allowed:
            raise LINK_LIMIT_EXCEEDED.error(
                limit_name="pings", limit=allowed, actual=self._pings_seen
            )
        self._send(encode_ping(FrameType.PONG, PingBody(ping.token, self._clock.now_ns())))

    def _on_pong(self, frame: Frame, events: list[Event | CommonEvent]) -> None:
        self._require_open(FrameType.PONG)
        pong = decode_ping(frame)
        if pong.token == self._pinged_ns:
            round_trip_ns = self._clock.monotonic_ns() - pong.token
            events.append(LatencyMeasured(round_trip_ns, pong.wall_ns))

    def _on_error(self, frame: Frame, events: list[Event | CommonEvent]) -> None:
        self._require_open(FrameType.ERROR)
        events.append(ErrorReported(decode_control(frame, Notice)))

    def _on_close(self, frame: Frame, events: list[Event | CommonEvent]) -> None:
        notice = decode_control(frame, Notice)
        self._state = SessionState.CLOSED
        events.append(PeerClosed(notice))

    def _require_open(self, kind: FrameType) -> None:
        if self._state is not SessionState.OPEN:
            raise LINK_ORDER_VIOLATED.error(frame=kind.name, reason="the greeting is not finished")

    def _require_state(self, state: SessionState, action: str) -> None:
        if self._state is not state:
            raise LINK_STATE_WRONG.error(action=action, state=self._state)

    def _send(self, message: bytes) -> None:
        if len(message) > self._limits.frame_bytes_max:
            raise LINK_FRAME_TOO_LARGE.error(
                size_bytes=len(message), limit_bytes=self._limits.frame_bytes_max
            )
        if len(self._out) >= FRAMES_QUEUED_MAX:
            raise LINK_LIMIT_EXCEEDED.error(
                limit_name="frames_queued", limit=FRAMES_QUEUED_MAX, actual=len(self._out) + 1
            )
        self._out.append(message)
        self._statistics.frames_sent += 1
        self._statistics.bytes_sent += len(message)

    def _flush(self) -> None:
        """Queue what was held back to be sent together."""

    def _fail(self, error: AitradingError) -> Failed:
        self._end(Notice(code=error.code, message=error.message[:NOTICE_CHARS_MAX]))
        return Failed(error)

    def _end(self, notice: Notice) -> None:
        self._flush()
        self._out.append(encode_control(FrameType.CLOSE, notice))
        self._state = SessionState.CLOSED
