"""A device that speaks the link directly, as the edge forwards it: for tests and benchmarks."""

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar
from uuid import UUID

import numpy as np
from picows import (
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    ws_connect,  # pyright: ignore[reportUnknownVariableType]
)
from typing_extensions import override

from aitrading.core.domain.market import TICK_DTYPE, TickArray, make_batch
from aitrading.core.kit.clock import SystemClock
from aitrading.core.protocol.link.events import (
    Acknowledged,
    ClientEvent,
    Established,
    PeerClosed,
    StreamOpened,
)
from aitrading.core.protocol.link.messages import StreamDeclaration
from aitrading.core.protocol.link.session import ClientProfile, ClientSession, SessionState
from aitrading.core.security.certificates import DeviceIdentity
from aitrading.core.testing.eventually import eventually
from aitrading.server.testing.bridge import connect_as_edge

CLOCK: Final = SystemClock()
OFFSET_S: Final = 7_200
LINK_NAME: Final = "link.localhost"
_SMALL: Final = 125
_SIZE_FOLLOWS: Final = 126
_MASKED: Final = 0x80
_BINARY: Final = 0x82
E = TypeVar("E")


class GreetingRefusedError(Exception):
    """The server answered the greeting by ending the link; `code` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(f"the greeting was refused: {code}")
        self.code = code


def declared(handle: int = 1, symbol: str = "EURUSD", **changes: int) -> StreamDeclaration:
    """A stream of the simulated account."""
    return StreamDeclaration(
        handle=handle,
        broker="Simulated-Demo",
        login=50_000_001,
        symbol=symbol,
        epoch=changes.get("epoch", 1_700_000_000),
        digits=changes.get("digits", 5),
        last_sequence=changes.get("last_sequence", 1 << 40),
    )


def ticks(count: int, *, first: int = 1, age_ms: int = 0) -> TickArray:
    """Rows with the time of now and prices that tell their place."""
    rows = np.zeros(count, TICK_DTYPE)
    now_ms = CLOCK.now_ns() // 1_000_000 - age_ms + OFFSET_S * 1_000
    rows["event_ms"] = now_ms
    rows["bid"] = 108_000 + np.arange(first, first + count)
    rows["ask"] = rows["bid"] + 7
    rows["flags"] = 6
    return rows


def forwarded(identity: DeviceIdentity) -> dict[str, str]:
    """The header with which the edge vouches for a device."""
    return {"x-forwarded-client-cert": f"Hash={'ab' * 32};URI={identity.uri}"}


def framed(message: bytes) -> bytes:
    """A client's WebSocket message; masked with zeros, which costs the sender nothing."""
    size = len(message)
    if size <= _SMALL:
        return bytes((_BINARY, _MASKED | size, 0, 0, 0, 0)) + message
    return bytes((_BINARY, _MASKED | _SIZE_FOLLOWS)) + size.to_bytes(2, "big") + bytes(4) + message


class Device(WSListener):
    """One connection of one device."""

    def __init__(
        self, identity: DeviceIdentity, *, features: tuple[str, ...] | None = None
    ) -> None:
        self.identity = identity
        profile = ClientProfile(software="test")
        if features is not None:
            profile = replace(profile, features=features)
        self.session = ClientSession(CLOCK, profile)
        self.events: list[ClientEvent] = []
        self.acknowledged: dict[int, int] = {}
        self.ended = asyncio.Event()
        self.transport: WSTransport | None = None

    async def connect(self, socket: Path, *declarations: StreamDeclaration) -> None:
        """Open the socket and greet."""
        self.transport = await connect_as_edge(socket, "/link", self, forwarded(self.identity))
        self._greet(declarations)

    async def connect_to_edge(
        self, port: int, context: ssl.SSLContext, *declarations: StreamDeclaration
    ) -> None:
        """Come in like any device, with a certificate, and wait for the answer to the greeting."""
        self.transport, _ = await ws_connect(
            lambda: self,
            f"wss://127.0.0.1:{port}/link",
            ssl_context=context,
            server_hostname=LINK_NAME,
            extra_headers={"Host": LINK_NAME},
            use_aiofastnet=False,  # what is written raw must go through the loop's own TLS
        )
        self._greet(declarations)
        await self._until_established()

    async def open(self, socket: Path, *declarations: StreamDeclaration) -> None:
        """Open the socket and wait until it may send; raises `GreetingRefusedError`."""
        await self.connect(socket, *declarations)
        await self._until_established()

    async def _until_established(self) -> None:
        await eventually(
            lambda: self.of(Established) or self.of(PeerClosed) or self.ended.is_set(),
            what="an answer to the greeting",
        )
        if not self.of(Established):
            told = self.of(PeerClosed)
            raise GreetingRefusedError(told[0].notice.code if told else "cut off without a word")

    def _greet(self, declarations: Sequence[StreamDeclaration]) -> None:
        if self.session.state is SessionState.NEW:  # a refusal may come first
            self.session.start(declarations)
            self.flush()

    def of(self, kind: type[E]) -> list[E]:
        """The events of one kind so far."""
        return [event for event in self.events if isinstance(event, kind)]

    def durable(self, handle: int = 1) -> int:
        """What the greeting said is stored."""
        for event in self.of(StreamOpened):
            if event.declaration.handle == handle:
                return event.grant.durable_sequence
        raise LookupError(handle)

    def send(
        self,
        rows: TickArray,
        *,
        handle: int = 1,
        stream: UUID | None = None,
        trace_id: bytes = b"\x11" * 16,
    ) -> int:
        """Send rows of a stream; gives the sequence of the last one."""
        first = self.session.next_sequence(handle)
        batch = make_batch(
            stream or UUID(int=1),
            first,
            rows,
            receive_ns=CLOCK.now_ns(),
            broker_offset_s=OFFSET_S,
            trace_id=trace_id,
            span_id=b"\x22" * 8,
        )
        self.session.send_ticks(handle, batch)
        self.flush()
        return batch.last_sequence

    async def until_acknowledged(
        self, sequence: int, handle: int = 1, *, timeout_s: float = 10.0
    ) -> None:
        """Wait until the server has stored everything up to a sequence."""
        await eventually(
            lambda: self.acknowledged.get(handle, 0) >= sequence,
            what=f"ACK of {sequence}",
            timeout_s=timeout_s,
        )

    def send_one_by_one(
        self, rows: TickArray, *, handle: int = 1, apart_ns: int = 0, behind: bytes = b""
    ) -> int:
        """Send each row in a message of its own, all in one piece of data, and any bytes behind.

        `apart_ns` is how far their moments of receipt are from each other.
        """
        if self.transport is None:
            raise LookupError("not connected")
        last = 0
        for index in range(len(rows)):
            first = self.session.next_sequence(handle)
            batch = make_batch(
                UUID(int=1),
                first,
                rows[index : index + 1],
                receive_ns=CLOCK.now_ns() + index * apart_ns,
                broker_offset_s=OFFSET_S,
            )
            self.session.send_ticks(handle, batch)
            last = first
        together = b"".join(map(framed, self.session.outgoing()))
        self.transport.underlying_transport.write(together + behind)
        return last

    def raw(self, message: bytes) -> None:
        """Send any bytes as one message."""
        if self.transport is None:
            raise LookupError("not connected")
        self.transport.send(WSMsgType.BINARY, message)

    def flush(self) -> None:
        """Send what the session has queued."""
        for message in self.session.outgoing():
            self.raw(message)

    def cut(self) -> None:
        """End the connection without a word."""
        if self.transport is None:
            raise LookupError("not connected")
        self.transport.disconnect(graceful=False)

    @override
    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport

    @override
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.BINARY:
            events = self.session.receive(frame.get_payload_as_bytes())
            self.events += events
            for event in events:
                if isinstance(event, Acknowledged):
                    self.acknowledged[event.handle] = event.sequence
            self.flush()
        elif frame.msg_type is WSMsgType.CLOSE:
            transport.disconnect()

    @override
    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.ended.set()
