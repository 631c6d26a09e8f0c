"""One device's connection: frames in, batches to the ingest, acknowledgements out."""

import asyncio
from collections.abc import Callable
from typing import Final
from uuid import UUID

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport
from typing_extensions import override

from aitrading.core.infrastructure.tracing import ConnectionTrace
from aitrading.core.kit.errors import AitradingError, ErrorSpec
from aitrading.core.protocol.error_codes import (
    LINK_FEATURE_UNKNOWN,
    LINK_FRAME_CORRUPT,
    LINK_FRAME_MALFORMED,
    LINK_FRAME_TOO_LARGE,
    LINK_LIMIT_EXCEEDED,
    LINK_NOT_READ,
    LINK_ORDER_VIOLATED,
    LINK_SEQUENCE_JUMPED,
    LINK_STREAM_UNKNOWN,
    LINK_VERSION_UNSUPPORTED,
)
from aitrading.core.protocol.link.events import (
    DaysTold,
    Failed,
    Gap,
    GapsTold,
    HelloReceived,
    LatencyMeasured,
    PeerClosed,
    ServerEvent,
    StreamsRequested,
    TicksReceived,
)
from aitrading.core.protocol.link.messages import (
    FEATURE_HOLD,
    FEATURE_WAIT,
    Repair,
    SettingsNews,
    StreamDeclaration,
)
from aitrading.core.protocol.link.session import (
    Refusal,
    ServerSession,
    SessionState,
    StreamPosition,
)
from aitrading.core.security.certificates import ForwardedDevice
from aitrading.server.data_bridge.ingest import TickIngest
from aitrading.server.data_bridge.streams import BridgeStream

FAULTS: Final = frozenset(
    spec.code
    for spec in (
        LINK_FEATURE_UNKNOWN,
        LINK_FRAME_CORRUPT,
        LINK_FRAME_MALFORMED,
        LINK_FRAME_TOO_LARGE,
        LINK_LIMIT_EXCEEDED,
        LINK_ORDER_VIOLATED,
        LINK_SEQUENCE_JUMPED,
        LINK_STREAM_UNKNOWN,
        LINK_VERSION_UNSUPPORTED,
    )
)
"""Ends of a link that are the device's fault and count against it."""
GOODBYE_POLLS: Final = 20
"""How many polls a closed link may take to end by itself."""
UNREAD_POLLS: Final = 100
"""How many polls a device may leave unread what was sent to it; nothing of its is read meanwhile."""
WRITE_BYTES_MAX: Final = 1024 * 1024
"""What may wait for a device in the bridge's memory; beyond, it is cut off."""
CONTROL_FRAMES_MAX: Final = 100
"""PINGs and PONGs of WebSocket that may come at once; in the long run one in each poll."""
Opened = BridgeStream | Refusal


class DeviceLink(WSListener):
    """A link of one device, from its upgrade to its end."""

    def __init__(  # noqa: PLR0913 - what a connection is made of
        self,
        device: ForwardedDevice,
        session: ServerSession,
        ingest: TickIngest,
        on_gap: Callable[[BridgeStream, Gap], None],
        on_truth: Callable[["DeviceLink", DaysTold | GapsTold], None],
        trace: ConnectionTrace,
        *,
        connection: UUID,
        since_ns: int,
        address: str = "",
    ) -> None:
        self.device = device
        self.trace = trace
        self.address = address
        self.connection = connection
        self.since_ns = since_ns
        self.round_trip_ns: int | None = None
        self.reason = "connection cut"
        self.fault: AitradingError | None = None
        self.held_by: ErrorSpec | None = None
        """Why no stream is taken although the link lives."""
        self._requests: asyncio.Queue[tuple[StreamDeclaration, ...] | None] = asyncio.Queue()
        self.ended = asyncio.Event()
        self._session = session
        self._ingest = ingest
        self._on_gap = on_gap
        self._on_truth = on_truth
        self._transport: WSTransport | None = None
        self._goodbyes = 0
        self._is_leaving = False
        self._is_paused = False
        self._unread = self._controls = 0
        self._streams: dict[int, BridgeStream] = {}
        self._refused: set[int] = set()
        self._messages: list[bytes] = []
        """Of the piece of data that is being read from the socket."""

    @override
    def __repr__(self) -> str:
        return f"DeviceLink({self.device.identity.device}, {self._session.state})"

    @property
    def is_open(self) -> bool:
        """The greeting is finished and the link goes on."""
        return self._session.state is SessionState.OPEN and not self.ended.is_set()

    async def next_request(self) -> tuple[StreamDeclaration, ...] | None:
        """The next streams the device declares; None when the link has ended, however often asked."""
        if self.ended.is_set() and self._requests.empty():
            return None
        return await self._requests.get()

    @property
    def is_held(self) -> bool:
        """The link lives and no stream is taken."""
        return self.held_by is not None

    @property
    def can_be_held(self) -> bool:
        """The device keeps its ticks while its plan does not count; others take it as the end."""
        return self._session.knows(FEATURE_HOLD)

    @property
    def can_wait(self) -> bool:
        """The device keeps its ticks while nobody can say whether it may send."""
        return self._session.knows(FEATURE_WAIT)

    @property
    def life(self) -> str:
        """Which run of the device's client this is."""
        return self._session.life

    @property
    def streams(self) -> tuple[BridgeStream, ...]:
        """The streams this link feeds."""
        return tuple(self._streams.values())

    @property
    def unconfirmed(self) -> int:
        """Ticks that were received and are not durable yet."""
        return self._session.unacknowledged

    @override
    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport

    @override
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if self._is_leaving and frame.msg_type is not WSMsgType.CLOSE:
            if frame.last_in_buffer:  # what was taken before it is this link's to commit
                self._ingest.commit()
            return
        if frame.msg_type is WSMsgType.BINARY and frame.fin:
            self._messages.append(frame.get_payload_as_bytes())
        else:
            self._read_messages()
            self._on_other_frame(transport, frame)
        if frame.last_in_buffer:
            self._read_messages()
            self._ingest.commit()
            self.flush()

    def _read_messages(self) -> None:
        """Let the session read what came together, together."""
        messages, self._messages = self._messages, []
        for event in self._session.receive_all(messages):
            self._on_event(event)

    def _on_other_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.CLOSE:
            transport.disconnect()
        elif frame.msg_type in {WSMsgType.PING, WSMsgType.PONG}:
            self._on_control_frame(transport, frame)
        else:
            self._fail(LINK_FRAME_MALFORMED.error(
                field="message", expected="one binary message", actual=frame.msg_type.name
            ))  # fmt: skip

    def _on_control_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        self._controls += 1
        if self._controls > CONTROL_FRAMES_MAX:
            self._fail(LINK_LIMIT_EXCEEDED.error(
                limit_name="control frames", limit=CONTROL_FRAMES_MAX, actual=self._controls
            ))  # fmt: skip
        elif frame.msg_type is WSMsgType.PING:
            transport.send_pong(frame.get_payload_as_bytes())

    @override
    def pause_writing(self) -> None:
        """A device that does not read is not read from: whatever it sends asks for an answer."""
        self._is_paused = True
        if self._transport is not None:
            self._transport.underlying_transport.pause_reading()

    @override
    def resume_writing(self) -> None:
        self._is_paused = False
        self._unread = 0
        if self._transport is not None:
            self._transport.underlying_transport.resume_reading()

    @override
    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._ingest.commit()
        for stream in self._streams.values():
            stream.cut_from(self)
        self.ended.set()
        self._requests.put_nowait(None)

    def accept(self, session_id: str, opened: dict[int, Opened]) -> None:
        """Answer HELLO: the link is open and every granted stream is fed by it."""
        if self._session.state is SessionState.GREETING and not self.ended.is_set():
            self._session.accept(session_id, self._bind(opened))
            self.flush()

    def grant(self, opened: dict[int, Opened]) -> None:
        """Answer a request for further streams."""
        if self.is_open:
            self._session.grant(self._bind(opened))
            self.flush()

    def acknowledge(self, stream: BridgeStream) -> None:
        """Everything of the stream up to its durable position is safe; told with `flush`."""
        if self.is_open and self._streams.get(stream.handle) is stream:
            self._session.acknowledge(stream.handle, stream.durable)

    def stream(self, handle: int) -> BridgeStream | None:
        """The stream behind a handle, if it was granted."""
        return self._streams.get(handle)

    def ask_repair(self, repair: Repair) -> None:
        """Ask the device for ticks that are missing; one that is too old is not asked."""
        if self.is_open:
            self._session.ask_repair(repair)
            self.flush()

    def tell_settings(self) -> None:
        """Let the device look for its settings; one that is too old looks by itself."""
        if self.is_open:
            self._session.tell_settings(SettingsNews())
            self.flush()

    def warn(self, spec: ErrorSpec) -> None:
        """Tell the device of trouble; the link goes on."""
        if self.is_open:
            self._session.warn(spec)
            self.flush()

    def close(self, spec: ErrorSpec, *, retry_after_ms: int = 0) -> None:
        """End in order: tell the device why and when to come back."""
        self.reason = spec.code
        self._session.close(spec, retry_after_ms=retry_after_ms)
        self.flush()
        self._disconnect()

    def poll(self) -> None:
        """Let time act on the session; a peer that takes no goodbye is cut off."""
        if self._is_leaving:
            self._goodbyes += 1
            if self._goodbyes > GOODBYE_POLLS and self._transport is not None:
                self._transport.disconnect(graceful=False)
            return
        self._controls = max(0, self._controls - 1)
        self._unread += self._is_paused
        if self._unread > UNREAD_POLLS:
            self.cut_off(LINK_NOT_READ)
            return
        for event in self._session.poll():
            self._on_event(event)
        self.flush()

    def flush(self) -> None:
        """Send what the session has queued."""
        transport = self._transport
        for message in self._session.outgoing():
            if transport is not None and not transport.is_disconnected:
                transport.send(WSMsgType.BINARY, message)
                if transport.underlying_transport.get_write_buffer_size() > WRITE_BYTES_MAX:
                    self.cut_off(LINK_NOT_READ)

    def cut_off(self, spec: ErrorSpec) -> None:
        """End at once, without a word: who does not read would not read why."""
        self.reason = spec.code
        if self._transport is not None:
            self._transport.disconnect(graceful=False)

    def hold(self, spec: ErrorSpec) -> None:
        """Take no tick from now on; what is not acknowledged stays with the device."""
        self.held_by = spec
        for handle, stream in self._streams.items():
            if handle not in self._refused:
                self._refused.add(handle)
                self._session.refuse_stream(handle, spec.code, spec.message)
            stream.cut_from(self)
        self.flush()

    def _bind(self, opened: dict[int, Opened]) -> dict[int, StreamPosition | Refusal]:
        positions: dict[int, StreamPosition | Refusal] = {}
        for handle, stream in opened.items():
            if isinstance(stream, Refusal):
                positions[handle] = stream
                continue
            stream.fed_by(self, handle)
            self._streams[handle] = stream
            positions[handle] = stream.position
        return positions

    def _on_event(self, event: ServerEvent) -> None:
        match event:
            case TicksReceived():
                self._take(event)
            case HelloReceived():
                self._requests.put_nowait(event.hello.streams)
            case StreamsRequested():
                self._requests.put_nowait(event.declarations)
            case Gap():
                self._on_gap(self._streams[event.handle], event)
            case DaysTold() | GapsTold():
                self._on_truth(self, event)
            case LatencyMeasured():
                self.round_trip_ns = event.round_trip_ns
            case Failed():
                self._fail(event.error)
            case PeerClosed():
                self.reason = event.notice.code
                self._disconnect()
            case _:
                pass

    def _take(self, event: TicksReceived) -> None:
        if event.handle in self._refused:
            return  # read together with what was refused; behind a hole it must not be stored
        self._ingest.take(self._streams[event.handle], event)

    def _fail(self, error: AitradingError) -> None:
        self.reason = error.code
        if error.code in FAULTS:
            self.fault = error
        self.flush()
        self._disconnect()

    def _disconnect(self) -> None:
        """Say goodbye and let the device hang up; `poll` cuts it off when it does not.

        A socket that is closed with unread bytes in it is reset, and a device that was still
        sending would never read why the link ended.
        """
        transport = self._transport
        if transport is not None and not transport.is_disconnected and not self._is_leaving:
            self._is_leaving = True
            transport.send_close(WSCloseCode.OK)
