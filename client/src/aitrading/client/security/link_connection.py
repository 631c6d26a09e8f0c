"""One socket of the link and its session, from the upgrade to the last frame."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Final

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport
from typing_extensions import override

from aitrading.client.security.errors import LINK_ENDED
from aitrading.core.kit.errors import ErrorSpec
from aitrading.core.protocol.link.events import (
    ClientEvent,
    Established,
    Failed,
    PeerClosed,
)
from aitrading.core.protocol.link.messages import StreamDeclaration
from aitrading.core.protocol.link.session import ClientSession, SessionState

GOODBYE_S: Final = 0.5


class LinkConnection(WSListener):
    """One socket and its session."""

    def __init__(self, session: ClientSession, on_event: Callable[[ClientEvent], None]) -> None:
        self.session = session
        self.is_paused = False
        self.on_writable: Callable[[], None] = lambda: None
        self._on_event = on_event
        self._transport: WSTransport | None = None
        self._greeted = asyncio.Event()
        self._ended = asyncio.Event()
        self._reason = "the connection was cut"

    @property
    def is_connected(self) -> bool:
        """The socket is open."""
        return self._transport is not None and not self._transport.is_disconnected

    @override
    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport

    @override
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.BINARY and frame.fin:
            self._take(self.session.receive(frame.get_payload_as_bytes()))
            self.flush()
        elif frame.msg_type is WSMsgType.CLOSE:
            transport.disconnect()
        elif frame.msg_type not in (WSMsgType.PING, WSMsgType.PONG):
            transport.send_close(WSCloseCode.UNSUPPORTED_DATA)
            transport.disconnect()

    @override
    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._ended.set()
        self._greeted.set()

    @override
    def pause_writing(self) -> None:
        self.is_paused = True

    @override
    def resume_writing(self) -> None:
        self.is_paused = False
        self.on_writable()

    def flush(self) -> None:
        """Send what the session has queued."""
        transport = self._transport
        for message in self.session.outgoing():
            if transport is not None and not transport.is_disconnected:
                transport.send(WSMsgType.BINARY, message)

    def greet(self, declarations: Sequence[StreamDeclaration]) -> None:
        """Begin, unless the server has refused before it was asked."""
        if self.session.state is SessionState.NEW:
            self.session.start(declarations)
            self.flush()

    async def greeted(self, poll_s: float) -> None:
        """Wait for HELLO_ACK; raises `LINK_ENDED` when the link ends before."""
        while not self._greeted.is_set() and not self._is_over:
            await self._beat(self._greeted, poll_s)
        if self._is_over:
            await self._say_goodbye()
            raise LINK_ENDED.error(cause=self._reason)

    async def live(self, poll_s: float) -> None:
        """Keep the heartbeat until the link ends."""
        while not self._is_over:
            await self._beat(self._ended, poll_s)
        await self._say_goodbye()

    def close(self, spec: ErrorSpec) -> None:
        """End in order, telling the server why."""
        self.session.close(spec)
        self.flush()
        self._disconnect()

    def abort(self) -> None:
        """End at once."""
        if self._transport is not None and not self._transport.is_disconnected:
            self._transport.disconnect(graceful=False)

    @property
    def _is_over(self) -> bool:
        return self._ended.is_set() or self.session.state is SessionState.CLOSED

    async def _say_goodbye(self) -> None:
        """Give the last frames a moment to leave; a dead network never lets them."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_S):
                await self._ended.wait()

    async def _beat(self, event: asyncio.Event, poll_s: float) -> None:
        try:
            async with asyncio.timeout(poll_s):
                await event.wait()
        except TimeoutError:
            self._take(self.session.poll())
            self.flush()

    def _take(self, events: Sequence[ClientEvent]) -> None:
        for event in events:
            self._on_event(event)
            match event:
                case Established():
                    self._greeted.set()
                case PeerClosed():
                    self._reason = event.notice.code
                    self._disconnect()
                case Failed():
                    self._reason = event.error.code
                    self.flush()
                    self._disconnect()
                case _:
                    pass

    def _disconnect(self) -> None:
        if self._transport is not None and not self._transport.is_disconnected:
            self._transport.send_close(WSCloseCode.OK)
            self._transport.disconnect()
