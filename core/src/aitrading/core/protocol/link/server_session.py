"""The data bridge's end of a link."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final
from uuid import UUID

from typing_extensions import override

from aitrading.core.domain.instruments import StreamKey
from aitrading.core.domain.market import TickBatch
from aitrading.core.domain.stream_days import NO_TICK, TickMark
from aitrading.core.kit.clock import Clock
from aitrading.core.kit.errors import ErrorSpec
from aitrading.core.protocol.error_codes import (
    LINK_FEATURE_UNKNOWN,
    LINK_LIMIT_EXCEEDED,
    LINK_ORDER_VIOLATED,
    LINK_SEQUENCE_JUMPED,
    LINK_STATE_WRONG,
    LINK_STREAM_UNKNOWN,
    LINK_VERSION_UNSUPPORTED,
)
from aitrading.core.protocol.link.burst import BURST_FRAMES_MIN, by_size, read_burst
from aitrading.core.protocol.link.events import (
    DaysTold,
    Gap,
    GapsTold,
    HelloReceived,
    ServerEvent,
    StreamsRequested,
    TicksReceived,
)
from aitrading.core.protocol.link.frames import (
    ACKS_PER_FRAME_MAX,
    Frame,
    FrameFlag,
    FrameType,
    decode_control,
    decode_ticks,
    encode_acks,
    encode_control,
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
    TICKS_KIND,
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
from aitrading.core.protocol.versions import LINK_VERSION

WINDOW_TOLERANCE: Final = 2
"""The server closes a link whose unacknowledged ticks exceed the window this many times."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerProfile:
    """Who this end is, and whom the certificate says it talks to."""

    tenant: UUID
    device: UUID
    software: str
    limits: LinkLimits = field(default_factory=LinkLimits)
    epoch: int = 0
    features: tuple[str, ...] = (FEATURE_TRUTH, FEATURE_SETTINGS, FEATURE_HOLD, FEATURE_WAIT)
    checkpoint: str = ""


@dataclass(frozen=True, slots=True)
class StreamPosition:
    """How far a stream is: stored for good, and received (perhaps still waiting for its sync)."""

    durable_sequence: int
    received_sequence: int
    durable: TickMark = NO_TICK
    """The tick `durable_sequence`, as far as it is known."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The code that tells a client why it may not use a stream."""

    code: str


@dataclass(slots=True)
class _Inbound:
    stream_id: UUID
    declaration: StreamDeclaration
    received: int = 0
    durable: int = 0
    usable: bool = False


class ServerSession(Machine[ServerEvent]):
    """Greets, grants streams, takes ticks in order, acknowledges what its owner made durable."""

    def __init__(self, clock: Clock, profile: ServerProfile) -> None:
        super().__init__(clock, profile.limits)
        self._profile = profile
        self._hello: Hello | None = None
        self._streams: dict[int, _Inbound] = {}
        self._requested: list[tuple[StreamDeclaration, ...]] = []
        self._in_flight: dict[int, InFlight] = {}
        self._unacknowledged = 0
        self._acks: dict[int, int] = {}
        self._state = SessionState.GREETING
        self._dispatch[FrameType.HELLO] = self._on_hello
        self._dispatch[FrameType.OPEN] = self._on_open
        self._dispatch[FrameType.TICKS] = self._on_ticks
        self._dispatch[FrameType.DAYS] = self._on_days
        self._dispatch[FrameType.GAPS] = self._on_gaps

    @property
    def unacknowledged(self) -> int:
        """Ticks received that the owner has not made durable yet."""
        return self._unacknowledged

    def knows(self, feature: str) -> bool:
        """The client greeted and said that it knows this optional part."""
        return self._hello is not None and feature in self._hello.features

    @property
    def life(self) -> str:
        """The run of the client; empty when it did not greet or does not say."""
        return self._hello.life if self._hello is not None else ""

    def stream_id(self, handle: int) -> UUID:
        """The id of a declared stream: tenant and device come from the certificate."""
        return self._inbound(handle).stream_id

    def stream_id_of(self, declaration: StreamDeclaration) -> UUID:
        """The id that a declaration of this device leads to; raises for an impossible name."""
        return StreamKey(
            tenant=self._profile.tenant,
            device=self._profile.device,
            broker=declaration.broker,
            login=declaration.login,
            symbol=declaration.symbol,
            epoch=declaration.epoch,
        ).stream_id()

    def declaration(self, handle: int) -> StreamDeclaration:
        """What the client declared about a stream."""
        return self._inbound(handle).declaration

    def accept(self, session_id: str, positions: Mapping[int, StreamPosition | Refusal]) -> None:
        """Answer HELLO; `positions` says for each declared handle how far it is or why not."""
        self._require_state(SessionState.GREETING, "accept")
        if self._hello is None:
            raise LINK_STATE_WRONG.error(action="accept", state="waiting for HELLO")
        hello, profile = self._hello, self._profile
        limits = self._limits = replace(
            self._limits,
            frame_bytes_max=min(self._limits.frame_bytes_max, hello.frame_bytes_max),
        )
        ack = HelloAck(
            version=LINK_VERSION,
            session=session_id,
            software=profile.software,
            server_time_ns=self._clock.now_ns(),
            frame_bytes_max=limits.frame_bytes_max,
            batch_ticks_max=limits.batch_ticks_max,
            window_ticks=limits.window_ticks,
            ping_interval_ms=limits.ping_interval_ms,
            idle_timeout_ms=limits.idle_timeout_ms,
            epoch=profile.epoch,
            features=tuple(name for name in hello.features if name in profile.features),
            checkpoint=profile.checkpoint,
            streams=self._grant(hello.streams, positions),
        )
        self._state = SessionState.OPEN
        self._pinged_ns = self._clock.monotonic_ns()
        self._send(encode_control(FrameType.HELLO_ACK, ack))

    def grant(self, positions: Mapping[int, StreamPosition | Refusal]) -> None:
        """Answer the oldest unanswered `StreamsRequested`."""
        self._require_state(SessionState.OPEN, "grant")
        if not self._requested:
            raise LINK_STATE_WRONG.error(action="grant", state="without a request")
        grants = self._grant(self._requested.pop(0), positions)
        self._send(encode_control(FrameType.OPEN_ACK, OpenAck(streams=grants)))

    def acknowledge(self, handle: int, sequence: int) -> None:
        """Everything of the stream up to a sequence is durable; told with the next `outgoing`.

        It may be ahead of what this link brought: an earlier link's ticks were synced since.
        """
        if self._state is not SessionState.OPEN:
            return
        stream = self._inbound(handle)
        if stream.usable and sequence > stream.durable:
            stream.durable = sequence
            stream.received = max(stream.received, sequence)
            self._unacknowledged -= self._in_flight[handle].settle(sequence)
            self._acks[handle] = sequence

    def refuse_stream(self, handle: int, code: str, message: str = "") -> None:
        """Isolate one stream: its frames are dropped from now on, the link goes on."""
        self._require_state(SessionState.OPEN, "refuse_stream")
        stream = self._inbound(handle)
        stream.usable = False
        self._acks.pop(handle, None)
        self._unacknowledged -= self._in_flight[handle].settle(stream.received)
        notice = Notice(code=code, message=message, handle=handle)
        self._send(encode_control(FrameType.ERROR, notice))

    def warn(self, spec: ErrorSpec) -> None:
        """Tell the device of trouble that concerns no single stream; the link goes on."""
        self._require_state(SessionState.OPEN, "warn")
        notice = Notice(code=spec.code, message=spec.message)
        self._send(encode_control(FrameType.ERROR, notice))

    def subscribe(self, subscription: Subscribe) -> None:
        """Tell the client which symbols are wanted."""
        self._require_state(SessionState.OPEN, "subscribe")
        self._send(encode_control(FrameType.SUBSCRIBE, subscription))

    def ask_repair(self, repair: Repair) -> bool:
        """Ask for ticks that are missing; False when the client does not know that question."""
        self._require_state(SessionState.OPEN, "ask_repair")
        if not self.knows(FEATURE_TRUTH):
            return False
        self._send(encode_control(FrameType.REPAIR, repair))
        return True

    def tell_settings(self, news: SettingsNews) -> bool:
        """Say that settings may have changed; False when the client does not know that."""
        self._require_state(SessionState.OPEN, "tell_settings")
        if not self.knows(FEATURE_SETTINGS):
            return False
        self._send(encode_control(FrameType.SETTINGS, news))
        return True

    @override
    def receive_all(self, messages: Sequence[bytes]) -> list[ServerEvent | CommonEvent]:
        if len(messages) < BURST_FRAMES_MIN:
            return super().receive_all(messages)
        events: list[ServerEvent | CommonEvent] = []
        for run in by_size(messages):
            taken = self._receive_burst(run, events) if len(run) >= BURST_FRAMES_MIN else 0
            for message in run[taken:]:
                events += self.receive(message)
        return events

    def _receive_burst(
        self, messages: Sequence[bytes], events: list[ServerEvent | CommonEvent]
    ) -> int:
        """Take the beginning that is plainly in order; returns how many frames that were."""
        if self._state is not SessionState.OPEN:
            return 0
        limits, taken = self._limits, 0
        if len(messages[0]) > limits.frame_bytes_max:
            return 0
        self._received_ns = self._clock.monotonic_ns()
        for piece in read_burst(messages, batch_ticks_max=limits.batch_ticks_max):
            stream = self._streams.get(piece.handle)
            is_next = stream is not None and piece.first_sequence == stream.received + 1
            room = limits.window_ticks * WINDOW_TOLERANCE - self._unacknowledged
            if stream is None or not is_next or not stream.usable or piece.ticks > room:
                break
            self._count_received(piece.frames, len(messages[0]) * piece.frames)
            batch = TickBatch(
                stream=stream.stream_id,
                first_sequence=piece.first_sequence,
                count=piece.ticks,
                receive_ns=piece.receive_ns,
                broker_offset_s=piece.broker_offset_s,
                rows=piece.rows,
                trace_id=piece.trace_id,
                span_id=piece.span_id,
            )
            self._take(piece.handle, stream, batch)
            events.append(TicksReceived(piece.handle, batch, piece.link_delay_us))
            taken += piece.frames
        return taken

    @override
    def _flush(self) -> None:
        if not self._acks or self._state is not SessionState.OPEN:
            return
        entries = sorted(self._acks.items())
        self._acks = {}
        for start in range(0, len(entries), ACKS_PER_FRAME_MAX):
            self._out.append(encode_acks(dict(entries[start : start + ACKS_PER_FRAME_MAX])))

    def _on_hello(self, frame: Frame, events: list[ServerEvent]) -> None:
        if self._state is not SessionState.GREETING or self._hello is not None:
            raise LINK_ORDER_VIOLATED.error(frame="HELLO", reason="it came twice")
        hello = decode_control(frame, Hello)
        if LINK_VERSION not in hello.versions:
            theirs = ", ".join(map(str, hello.versions))
            raise LINK_VERSION_UNSUPPORTED.error(theirs=theirs, ours=LINK_VERSION)
        self._declare(hello.streams)
        self._hello = hello
        events.append(HelloReceived(hello))

    def _on_open(self, frame: Frame, events: list[ServerEvent]) -> None:
        self._require_open(FrameType.OPEN)
        declarations = decode_control(frame, Open).streams
        if len(self._requested) >= self._limits.streams_max:
            raise LINK_LIMIT_EXCEEDED.error(
                limit_name="unanswered requests",
                limit=self._limits.streams_max,
                actual=len(self._requested) + 1,
            )
        self._declare(declarations)
        self._requested.append(declarations)
        events.append(StreamsRequested(declarations))

    def _on_days(self, frame: Frame, events: list[ServerEvent]) -> None:
        self._require_open(FrameType.DAYS)
        days = decode_control(frame, Days)
        for day in days.days:
            self._inbound(day.handle)
        events.append(DaysTold(days))

    def _on_gaps(self, frame: Frame, events: list[ServerEvent]) -> None:
        self._require_open(FrameType.GAPS)
        events.append(GapsTold(decode_control(frame, Gaps)))

    def _on_ticks(self, frame: Frame, events: list[ServerEvent]) -> None:
        self._require_open(FrameType.TICKS)
        handle, first = frame.stream, frame.sequence
        stream = self._streams.get(handle)
        if stream is None:
            raise LINK_STREAM_UNKNOWN.error(handle=handle)
        if not stream.usable:
            return
        body = decode_ticks(frame, self._limits.batch_ticks_max)
        received, last = stream.received, first + body.ticks - 1
        if first > received + 1:
            if not frame.flags & FrameFlag.AFTER_GAP:
                raise LINK_SEQUENCE_JUMPED.error(
                    handle=handle, expected=received + 1, actual=first
                )
            self._statistics.gaps += 1
            events.append(Gap(handle, received + 1, first - 1))
        self._statistics.duplicate_ticks += max(0, min(received, last) - first + 1)
        if last <= received:
            return
        batch = TickBatch(
            stream=stream.stream_id,
            first_sequence=first,
            count=body.ticks,
            receive_ns=body.receive_ns,
            broker_offset_s=body.broker_offset_s,
            rows=body.rows,
            trace_id=body.trace_id,
            span_id=body.span_id,
            is_history=bool(frame.flags & FrameFlag.HISTORY),
        )
        if first <= received:
            batch = batch.after(received) or batch
        self._take(handle, stream, batch)
        events.append(TicksReceived(handle, batch, body.link_delay_us))

    def _take(self, handle: int, stream: _Inbound, batch: TickBatch) -> None:
        stream.received = batch.last_sequence
        self._statistics.ticks += batch.count
        self._in_flight[handle].add(batch.last_sequence, batch.count)
        self._unacknowledged += batch.count
        limit = self._limits.window_ticks * WINDOW_TOLERANCE
        if self._unacknowledged > limit:
            raise LINK_LIMIT_EXCEEDED.error(
                limit_name="unacknowledged ticks", limit=limit, actual=self._unacknowledged
            )

    def _declare(self, declarations: tuple[StreamDeclaration, ...]) -> None:
        total = len(self._streams) + len(declarations)
        if total > self._limits.streams_max:
            raise LINK_LIMIT_EXCEEDED.error(
                limit_name="streams", limit=self._limits.streams_max, actual=total
            )
        known = {stream.stream_id for stream in self._streams.values()}
        for declaration in declarations:
            stream_id = self.stream_id_of(declaration)
            if declaration.handle in self._streams or stream_id in known:
                raise LINK_ORDER_VIOLATED.error(frame="OPEN", reason="a stream was opened twice")
            known.add(stream_id)
            self._streams[declaration.handle] = _Inbound(stream_id, declaration)
            self._in_flight[declaration.handle] = InFlight()

    def _grant(
        self,
        declarations: tuple[StreamDeclaration, ...],
        positions: Mapping[int, StreamPosition | Refusal],
    ) -> tuple[StreamGrant, ...]:
        return tuple(
            self._grant_one(declaration.handle, positions.get(declaration.handle))
            for declaration in declarations
        )

    def _grant_one(self, handle: int, position: StreamPosition | Refusal | None) -> StreamGrant:
        stream = self._streams[handle]
        if stream.declaration.kind != TICKS_KIND:
            return StreamGrant(handle=handle, refused=LINK_FEATURE_UNKNOWN.code)
        if not isinstance(position, StreamPosition):
            code = position.code if position else LINK_STREAM_UNKNOWN.code
            return StreamGrant(handle=handle, refused=code)
        stream.durable = position.durable_sequence
        stream.received = max(position.received_sequence, position.durable_sequence)
        stream.usable = True
        return StreamGrant(
            handle=handle,
            durable_sequence=position.durable_sequence,
            durable_ms=position.durable.utc_ms,
            durable_digest=position.durable.digest,
        )

    def _inbound(self, handle: int) -> _Inbound:
        stream = self._streams.get(handle)
        if stream is None:
            raise LINK_STREAM_UNKNOWN.error(handle=handle)
        return stream
