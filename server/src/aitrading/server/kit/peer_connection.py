"""One HTTP/1.1 connection to a peer: h11 over asyncio streams."""

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import h11

from aitrading.server.kit.bundle import PeerAddress
from aitrading.server.kit.mtls import peer_identity

READ_BYTES: Final = 64 * 1024
MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
Header = tuple[bytes, bytes]


class PeerProtocolError(Exception):
    """The other side broke HTTP, its size limit, or is not who it should be."""


class ConnectionWasStaleError(Exception):
    """A kept connection turned out to be closed before the first byte of an answer."""


@dataclass(frozen=True, kw_only=True)
class PeerRequest:
    """One call, ready for the wire."""

    method: str
    target: str
    headers: Sequence[Header]
    body: bytes
    answer_limit_bytes: int = MAX_ANSWER_BYTES


@dataclass(frozen=True, kw_only=True)
class PeerResponse:
    """One answer, read whole."""

    status: int
    headers: dict[str, str]
    body: bytes


class PeerConnection:
    """Speaks with one peer, one exchange at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._protocol = h11.Connection(our_role=h11.CLIENT)
        self._exchanges = 0
        self._answered = False
        self.idle_since_ns = 0

    @classmethod
    async def open(
        cls, peer: str, address: PeerAddress | Path, tls: ssl.SSLContext | None
    ) -> "PeerConnection":
        """Connect; over TLS the certificate must name exactly this peer."""
        if isinstance(address, Path):
            return cls(*await asyncio.open_unix_connection(address))
        reader, writer = await asyncio.open_connection(address.host, address.port, ssl=tls)
        connection = cls(reader, writer)
        identity = peer_identity(writer.transport)
        if tls is not None and (identity is None or identity.name != peer):
            connection.abort()
            raise PeerProtocolError("its certificate names another service")
        return connection

    @property
    def reusable(self) -> bool:
        """Whether another exchange may follow."""
        return self._protocol.our_state is h11.IDLE and not self._reader.at_eof()

    async def exchange(self, request: PeerRequest) -> PeerResponse:
        """Send a request and read its whole answer, within the limit that the request names."""
        reused = self._exchanges > 0
        self._exchanges += 1
        self._answered = False
        try:
            await self._send(request)
            response = await self._event()
        except (ConnectionResetError, BrokenPipeError, EOFError) as exc:
            if reused:
                raise ConnectionWasStaleError from exc
            raise
        while isinstance(response, h11.InformationalResponse):
            response = await self._event()
        if not isinstance(response, h11.Response):
            raise PeerProtocolError("no response head")
        body = await self._body(request.answer_limit_bytes)
        if self._protocol.our_state is h11.DONE and self._protocol.their_state is h11.DONE:
            self._protocol.start_next_cycle()
        headers = {
            name.decode("ascii"): value.decode("latin-1") for name, value in response.headers
        }
        return PeerResponse(status=response.status_code, headers=headers, body=body)

    def abort(self) -> None:
        """Close at once, without waiting for the other side."""
        self._writer.transport.abort()

    async def _send(self, request: PeerRequest) -> None:
        head = h11.Request(
            method=request.method, target=request.target, headers=list(request.headers)
        )
        self._writer.write(self._protocol.send(head) or b"")
        if request.body:
            self._writer.write(self._protocol.send(h11.Data(data=request.body)) or b"")
        self._writer.write(self._protocol.send(h11.EndOfMessage()) or b"")
        await self._writer.drain()

    async def _body(self, limit_bytes: int) -> bytes:
        parts = bytearray()
        while isinstance(event := await self._event(), h11.Data):
            parts += event.data
            if len(parts) > limit_bytes:
                raise PeerProtocolError(f"the answer is larger than {limit_bytes} bytes")
        if not isinstance(event, h11.EndOfMessage):
            raise PeerProtocolError("the answer ends early")
        return bytes(parts)

    async def _event(self) -> h11.Event:
        while True:
            try:
                event = self._protocol.next_event()
            except h11.RemoteProtocolError as exc:
                raise PeerProtocolError(str(exc)) from exc
            if event is h11.NEED_DATA:
                await self._receive()
            elif isinstance(event, h11.ConnectionClosed):
                raise EOFError
            elif isinstance(event, h11.Event):
                return event

    async def _receive(self) -> None:
        data = await self._reader.read(READ_BYTES)
        if not data and not self._answered:
            raise EOFError
        self._answered = True
        self._protocol.receive_data(data)
