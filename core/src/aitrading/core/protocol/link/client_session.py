"""The device's end of a link."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from typing_extensions import override

from aitrading.core.domain.market import ROW_BYTES, TickBatch
from aitrading.core.kit.clock import NS_PER_MS, Clock
from aitrading.core.protocol.error_codes import (
    LINK_NOT_ACKNOWLEDGED,
    LINK_ORDER_VIOLATED,
    LINK_SEQUENCE_JUMPED,
    LINK_STREAM_UNKNOWN,
    LINK_VERSION_UNSUPPORTED,
    LINK_WINDOW_FULL,
)
from aitrading.core.protocol.link.events import (
    Acknowledged,
    ClientEvent,
    ErrorReported,
    Established,
    RepairAsked,
    SettingsTold,
    StreamAhead,
    StreamOpened,
    StreamRefused,
    Subscribed,
)
from aitrading.core.protocol.link.frames import (
    HEADER_BYTES,
    TICKS_HEADER_BYTES,
    Frame,
    FrameType,
    decode_acks,
    decode_control,
    encode_control,
    encode_ticks,
)
from aitrading.core.protocol.link.machine import (
    CommonEvent,
    InFlight,
    LinkLimits,
    Machine,
    SessionState,
)
from aitrading.core.protocol.link.messages import (
    FEATURE_HOLD,
    FEATURE_SETTINGS,
    FEATURE_TRUTH,
    FEATURE_WAIT,
    STREAMS_PER_FRAME_MAX,
    Days,
    Gaps,
    Hello,
    HelloAck,
    Notice,
    Open,
    OpenAck,
    Repair,
    SettingsNews,
    StreamDeclaration,
    StreamGrant,
    Subscribe,
)
from aitrading.core.protocol.versions import LINK_VERSION, LINK_VERSIONS_SPOKEN

NS_PER_US: Final = 1_000


@dataclass(frozen=True, kw_only=True, slots=True)
class ClientProfile:
    """Who this end is and what it can do."""

    software: str
    limits: LinkLimits = field(default_factory=LinkLimits)
    """Used until HELLO_ACK brings the server's; afterwards the smaller frame limit counts."""
    ack_timeout_ms: int = 30_000
    features: tuple[str, ...] = (FEATURE_TRUTH, FEATURE_SETTINGS, FEATURE_HOLD, FEATURE_WAIT)
    life: str = ""
    resume_session: str = ""
    traceparent: str = ""
    checkpoint: str = ""


@dataclass(slots=True)
class _Outbound:
    declaration: StreamDeclaration
    sent: int = 0
    acknowledged: int = 0
    usable: bool = False
    ahead: int = 0
    """What the server stores, while this end does not have as much."""
    in_flight: InFlight = field(default_factory=InFlight)

    @property
    def last_known(self) -> int:
        """What can be acknowledged: sent now, or sent on an earlier link and synced since."""
        return max(self.sent, self.declaration.last_sequence)

    def begin(self, durable_sequence: int) -> None:
        """What follows may be sent."""
        self.usable = True
        self.sent = self.acknowledged = durable_sequence


class ClientSession(Machine[ClientEvent]):
    """Greets, declares streams, sends ticks inside the window, reports what became durable."""

    def __init__(self, clock: Clock, profile: ClientProfile) -> None:
        super().__init__(clock, profile.limits)
        self._profile = profile
        self._streams: dict[int, _Outbound] = {}
        self._undeclared: deque[StreamDeclaration] = deque()
        self._asked: deque[tuple[StreamDeclaration, ...]] = deque()
        self._asked_ns = 0
        self._unacknowledged = 0
        self._progress_ns = 0
        self._dispatch[FrameType.HELLO_ACK] = self._on_hello_ack
        self._dispatch[FrameType.OPEN_ACK] = self._on_open_ack
        self._dispatch[FrameType.ACK] = self._on_ack
        self._dispatch[FrameType.SUBSCRIBE] = self._on_subscribe
        self._dispatch[FrameType.REPAIR] = self._on_repair
        self._dispatch[FrameType.SETTINGS] = self._on_settings
        self.features: tuple[str, ...] = ()
        """What both sides know; empty before the greeting is answered."""

    def start(self, declarations: Sequence[StreamDeclaration] = ()) -> None:
        """Greet the server and declare the streams."""
        self._require_state(SessionState.NEW, "start")
        self._undeclared.extend(declarations)
        first = self._next_declarations()
        profile = self._profile
        hello = Hello(
            software=profile.software,
            versions=LINK_VERSIONS_SPOKEN,
            client_time_ns=self._clock.now_ns(),
            frame_bytes_max=self._limits.frame_bytes_max,
            features=profile.features,
            life=profile.life,
            resume_session=profile.resume_session,
            traceparent=profile.traceparent,
            checkpoint=profile.checkpoint,
            streams=first,
        )
        self._state = SessionState.GREETING
        self._received_ns = self._clock.monotonic_ns()
        self._send(encode_control(FrameType.HELLO, hello))

    def open_streams(self, declarations: Sequence[StreamDeclaration]) -> None:
        """Declare further streams; `StreamOpened`, `-Refused` or `-Ahead` answers each."""
        self._require_state(SessionState.OPEN, "open_streams")
        self._undeclared.extend(declarations)
        self._declare_rest()

    def resume(self, handle: int) -> None:
        """Go on behind what the server stores of a stream that was ahead: this end has it again.

        Raises `LINK_STREAM_UNKNOWN` when the stream was not ahead.
        """
        self._require_state(SessionState.OPEN, "resume")
        stream = self._streams.get(handle)
        if stream is None or not stream.ahead:
            raise LINK_STREAM_UNKNOWN.error(handle=handle)
        stream.begin(stream.ahead)
        stream.ahead = 0

    def next_sequence(self, handle: int) -> int:
        """What the next batch of an opened stream must start with."""
        return self._outbound(handle).sent + 1

    def room(self) -> int:
        """How many ticks the window still takes, over all streams."""
        if self._state is not SessionState.OPEN:
            return 0
        return max(0, self._limits.window_ticks - self._unacknowledged)

    def send_ticks(self, handle: int, batch: TickBatch, *, after_gap: bool = False) -> None:
        """Send a batch; rows that were sent before are cut off, a large batch is split.

        `after_gap` says that what lies between is lost for good. Raises `LINK_WINDOW_FULL`
        without sending anything, or `LINK_SEQUENCE_JUMPED` for an undeclared jump.
        """
        self._require_state(SessionState.OPEN, "send_ticks")
        stream = self._outbound(handle)
        rest = batch.after(stream.sent)
        if rest is None:
            return
        jumped = rest.first_sequence > stream.sent + 1
        if jumped and not after_gap:
            raise LINK_SEQUENCE_JUMPED.error(
                handle=handle, expected=stream.sent + 1, actual=rest.first_sequence
            )
        if rest.count > self.room():
            raise LINK_WINDOW_FULL.error(
                count=rest.count, room=self.room(), window=self._limits.window_ticks
            )
        self._send_split(handle, stream, rest, jumped=jumped)

    def tell_days(self, days: Days) -> None:
        """Say what was counted; only where `features` has `FEATURE_TRUTH`."""
        self._require_state(SessionState.OPEN, "tell_days")
        self._send(encode_control(FrameType.DAYS, days))

    def tell_gaps(self, gaps: Gaps) -> None:
        """Say what was lost or repaired; only where `features` has `FEATURE_TRUTH`."""
        self._require_state(SessionState.OPEN, "tell_gaps")
        self._send(encode_control(FrameType.GAPS, gaps))

    @override
    def _check_time(self, now_ns: int) -> None:
        super()._check_time(now_ns)
        limit_ms = self._profile.ack_timeout_ms
        if self._unacknowledged and (now_ns - self._progress_ns) // NS_PER_MS >= limit_ms:
            pending = f"{self._unacknowledged} ticks"
            raise LINK_NOT_ACKNOWLEDGED.error(pending=pending, limit_ms=limit_ms)
        if self._asked and (now_ns - self._asked_ns) // NS_PER_MS >= limit_ms:
            pending = f"{len(self._asked)} requests for streams"
            raise LINK_NOT_ACKNOWLEDGED.error(pending=pending, limit_ms=limit_ms)

    def _send_split(
        self, handle: int, stream: _Outbound, batch: TickBatch, *, jumped: bool
    ) -> None:
        now_ns = self._clock.monotonic_ns()
        if not self._unacknowledged:
            self._progress_ns = now_ns
        delay_us = (self._clock.now_ns() - batch.receive_ns) // NS_PER_US
        rest: TickBatch | None = batch
        while rest is not None:
            part = rest.up_to(self._limits.batch_ticks_max)
            self._send(encode_ticks(handle, part, link_delay_us=delay_us, after_gap=jumped))
            jumped = False
            stream.sent = part.last_sequence
            stream.in_flight.add(part.last_sequence, part.count)
            self._unacknowledged += part.count
            self._statistics.ticks += part.count
            rest = rest.after(part.last_sequence)

    def _on_hello_ack(self, frame: Frame, events: list[ClientEvent]) -> None:
        if self._state is not SessionState.GREETING:
            raise LINK_ORDER_VIOLATED.error(frame="HELLO_ACK", reason="it came twice")
        ack = decode_control(frame, HelloAck)
        if ack.version != LINK_VERSION:
            raise LINK_VERSION_UNSUPPORTED.error(theirs=ack.version, ours=LINK_VERSION)
        self._agree(ack)
        self.features = ack.features
        self._state = SessionState.OPEN
        self._pinged_ns = self._clock.monotonic_ns()
        events.append(Established(ack))
        self._apply_grants(ack.streams, events)
        self._declare_rest()

    def _on_open_ack(self, frame: Frame, events: list[ClientEvent]) -> None:
        self._require_open(FrameType.OPEN_ACK)
        self._apply_grants(decode_control(frame, OpenAck).streams, events)

    def _on_ack(self, frame: Frame, events: list[ClientEvent]) -> None:
        self._require_open(FrameType.ACK)
        for handle, sequence in decode_acks(frame):
            stream = self._streams.get(handle)
            if stream is None or sequence > stream.last_known:
                reason = f"{sequence} was never sent on stream {handle}"
                raise LINK_ORDER_VIOLATED.error(frame="ACK", reason=reason)
            if stream.usable and sequence > stream.acknowledged:
                stream.acknowledged = sequence
                stream.sent = max(stream.sent, sequence)
                self._unacknowledged -= stream.in_flight.settle(sequence)
                self._progress_ns = self._clock.monotonic_ns()
                events.append(Acknowledged(handle, sequence))

    def _on_subscribe(self, frame: Frame, events: list[ClientEvent]) -> None:
        self._require_open(FrameType.SUBSCRIBE)
        events.append(Subscribed(decode_control(frame, Subscribe)))

    def _on_repair(self, frame: Frame, events: list[ClientEvent]) -> None:
        self._require_open(FrameType.REPAIR)
        events.append(RepairAsked(decode_control(frame, Repair)))

    def _on_settings(self, frame: Frame, events: list[ClientEvent]) -> None:
        self._require_open(FrameType.SETTINGS)
        events.append(SettingsTold(decode_control(frame, SettingsNews)))

    @override
    def _on_error(self, frame: Frame, events: list[ClientEvent | CommonEvent]) -> None:
        self._require_open(FrameType.ERROR)
        notice = decode_control(frame, Notice)
        stream = self._streams.get(notice.handle)
        if stream is None:
            events.append(ErrorReported(notice))
            return
        stream.usable = False
        self._unacknowledged -= stream.in_flight.settle(stream.sent)
        events.append(StreamRefused(stream.declaration, notice.code))

    def _agree(self, ack: HelloAck) -> None:
        mine = self._limits
        frame_bytes_max = min(mine.frame_bytes_max, ack.frame_bytes_max)
        fitting = (frame_bytes_max - HEADER_BYTES - TICKS_HEADER_BYTES) // ROW_BYTES
        self._limits = replace(
            mine,
            frame_bytes_max=frame_bytes_max,
            batch_ticks_max=min(ack.batch_ticks_max, fitting),
            window_ticks=ack.window_ticks,
            ping_interval_ms=ack.ping_interval_ms,
            idle_timeout_ms=ack.idle_timeout_ms,
        )

    def _next_declarations(self) -> tuple[StreamDeclaration, ...]:
        count = min(STREAMS_PER_FRAME_MAX, len(self._undeclared))
        declarations = tuple(self._undeclared.popleft() for _ in range(count))
        for declaration in declarations:
            if declaration.handle in self._streams:
                raise LINK_ORDER_VIOLATED.error(frame="OPEN", reason="a handle was used twice")
            self._streams[declaration.handle] = _Outbound(declaration)
        self._asked.append(declarations)
        self._asked_ns = self._clock.monotonic_ns()
        return declarations

    def _declare_rest(self) -> None:
        while self._undeclared:
            self._send(encode_control(FrameType.OPEN, Open(streams=self._next_declarations())))

    def _apply_grants(self, grants: tuple[StreamGrant, ...], events: list[ClientEvent]) -> None:
        asked = self._asked.popleft() if self._asked else ()
        if [grant.handle for grant in grants] != [declared.handle for declared in asked]:
            raise LINK_ORDER_VIOLATED.error(frame="OPEN_ACK", reason="it answers another request")
        for declaration, grant in zip(asked, grants, strict=True):
            stream = self._streams[declaration.handle]
            if grant.refused is not None:
                events.append(StreamRefused(declaration, grant.refused))
            elif grant.durable_sequence > declaration.last_sequence:
                stream.ahead = grant.durable_sequence
                events.append(StreamAhead(declaration, grant))
            else:
                stream.begin(grant.durable_sequence)
                events.append(StreamOpened(declaration, grant))

    def _outbound(self, handle: int) -> _Outbound:
        stream = self._streams.get(handle)
        if stream is None or not stream.usable:
            raise LINK_STREAM_UNKNOWN.error(handle=handle)
        return stream
