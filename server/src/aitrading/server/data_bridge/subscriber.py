"""One open quote stream: what it wants, what waits for it, how long it may live."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Protocol
from uuid import UUID

import msgspec
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport
from typing_extensions import override

from aitrading.core.infrastructure.tracing import ConnectionTrace
from aitrading.core.kit.errors import AitradingError, ErrorSpec
from aitrading.core.security.jwt_manager import VerifiedToken
from aitrading.server.data_bridge.errors import (
    STREAM_MESSAGE_INVALID,
    STREAM_NOT_READ,
    STREAM_TOO_BUSY,
)
from aitrading.server.data_bridge.viewers import Held
from aitrading.server.data_bridge.waiting_quotes import (
    EVERY_TICK_QUEUE_MAX,
    Part,
    Round,
    TickRun,
    WaitingQuote,
)
from aitrading.server.kit.authentication import Identified
from aitrading.server.kit.both_clocks import AtMost

SYMBOLS_MAX: Final = 1_024
TURN_QUOTES_MAX: Final = 150
"""Quotes that are sent before others may work: one to two milliseconds when none is rendered yet."""
WAITING_MESSAGES_MAX: Final = 256
"""Messages that may wait for a subscriber who does not read; beyond, it is closed."""
HEARD_MAX: Final = 200
"""Messages that a subscriber may send between two pings."""
UNANSWERED_MAX: Final = 2
CLOSE_BASE: Final = 4_000

Symbol = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class SubscribeMessage(msgspec.Struct, frozen=True, tag_field="type", tag="subscribe"):
    """Choose symbols (null for all) and whether every tick is wanted or the newest ones."""

    symbols: Annotated[tuple[Symbol, ...], msgspec.Meta(max_length=SYMBOLS_MAX)] | None = None
    every_tick: bool = False


class TokenMessage(msgspec.Struct, frozen=True, tag_field="type", tag="token"):
    """A fresh access token of the same person: the stream goes on."""

    token: Annotated[str, msgspec.Meta(max_length=4_096)]


class PingMessage(msgspec.Struct, frozen=True, tag_field="type", tag="ping"):
    """A sign of life; answered with `{"type":"pong"}`."""


Message = SubscribeMessage | TokenMessage | PingMessage
_decoder: Final = msgspec.json.Decoder(Message)
PONG: Final = b'{"type":"pong"}'


@dataclass(frozen=True, slots=True)
class Sent:
    """What a subscriber was sent in one turn."""

    quotes: int
    oldest_ns: int
    """When the oldest of them was received."""


NOTHING: Final = Sent(0, 0)


class SubscriberHub(Protocol):
    """What a subscriber asks of its hub (see `fanout.py`)."""

    def joined(self, subscriber: "Subscriber") -> None:
        """The socket is open."""
        ...

    def left(self, subscriber: "Subscriber") -> None:
        """The socket is closed."""
        ...

    def changed(self, subscriber: "Subscriber") -> None:
        """It chose other symbols, or its socket takes data again."""
        ...

    def answered(self, subscriber: "Subscriber") -> None:
        """It answered the newest ping."""
        ...

    def verify(self, token: str, old: Identified) -> tuple[VerifiedToken, AtMost]:
        """Accept a fresh token of the same person and tenant, and tell its end, or raise."""
        ...


class Subscriber(WSListener):
    """A browser or program that listens. Slow ones get fewer quotes, never old ones."""

    def __init__(
        self,
        found: Identified,
        hub: SubscriberHub,
        trace: ConnectionTrace,
        *,
        connection: UUID,
        since_ns: int,
        ends: AtMost,
        address: str = "",
    ) -> None:
        self.found = found
        self.token = found.token
        self.ends = ends
        self.trace = trace
        self.closed_by: str | None = None
        """The code of the error that ended it; None when the other side went."""
        self.address = address
        self.connection = connection
        self.since_ns = since_ns
        self.pinged_ns = 0
        self.round_trip_ns: int | None = None
        self.is_held = True
        """It is told no quotes: its plan does not count, or was not looked at yet."""
        self.looks = 0
        """How often its plan was asked for; only the answer to the last question counts."""
        self.was_told: Held | None = None
        """Why it gets no quotes, as it knows."""
        self.every_tick = False
        self.conflated = 0
        self.is_paused = False
        self.writable = asyncio.Event()
        self.writable.set()
        self.has_news = asyncio.Event()
        """For its sender: there may be something to send."""
        self.sender: asyncio.Task[None] | None = None
        self._heard = self._unanswered = 0
        self._messages: list[bytes] = []
        self._is_closing = False
        self._hub = hub
        self._symbols: frozenset[str] | None = None
        self._newest: dict[str, WaitingQuote] = {}
        self._queue: deque[Part] = deque()
        self._queued = 0
        """Quotes in the queue."""
        self._transport: WSTransport | None = None

    def wants(self, symbol: str) -> bool:
        """The symbol was chosen, or nothing was."""
        return self._symbols is None or symbol in self._symbols

    @property
    def waiting(self) -> int:
        """How many quotes are to be sent."""
        return len(self._newest) + self._queued

    def hold(self) -> None:
        """Tell no quotes from now on, and none of those that wait."""
        self.is_held = True
        self._queue.clear()
        self._queued = 0
        self._newest.clear()

    def offer(self, quote: WaitingQuote) -> None:
        """Take a quote; it replaces an older one of its symbol that still waits."""
        if quote.symbol in self._newest:
            self.conflated += 1
        self._newest[quote.symbol] = quote

    def offer_all(self, run: TickRun) -> None:
        """Take every tick of a batch; of those beyond what may wait, the last one.

        While a last one waits behind the queue, no tick gets into the queue and before it.
        """
        room = 0 if self._newest else max(0, EVERY_TICK_QUEUE_MAX - self._queued)
        taken = min(run.count, room)
        if taken:
            self._queue.append(Part(run, 0, taken))
            self._queued += taken
        if taken < run.count:
            self.conflated += run.count - taken - 1
            self.offer(run.newest)

    def line_up(self, quote: WaitingQuote) -> None:
        """Take a quote behind all that waits, whatever else is told of its symbol."""
        self._append(quote)

    def send_round(self, quotes: Round) -> Sequence[WaitingQuote]:
        """Send the newest quotes in one write; gives what was sent.

        While the socket is slow they wait, the newest of each symbol.
        """
        transport = self._transport
        if transport is None or not self.is_open:
            return ()
        if self.is_paused or self.waiting:
            for quote in quotes.chosen(self._symbols):
                self.offer(quote)
            return ()
        bundle = quotes.bundle(self._symbols)
        if bundle.data:
            transport.underlying_transport.write(bundle.data)
        return bundle.quotes

    def send_turn(self) -> Sent:
        """Send the next of what waits, in one write. Nothing while the socket is slow."""
        transport = self._transport
        if transport is None or not self.is_open or self.is_paused or not self.waiting:
            return NOTHING
        frames: list[bytes] = []
        received_ns: list[int] = []
        while self.waiting and len(frames) < TURN_QUOTES_MAX:
            part = self._next_part()
            received_ns.append(part.run.received_ns)
            taken = part.take(TURN_QUOTES_MAX - len(frames))
            frames += taken
            self._queued -= len(taken)
            if part.is_empty:
                self._queue.popleft()
        self._line_up()
        transport.underlying_transport.write(b"".join(frames))
        return Sent(len(frames), min(received_ns))

    def _next_part(self) -> Part:
        if not self._queue:
            symbol = next(iter(self._newest))
            self._append(self._newest.pop(symbol))
        return self._queue[0]

    def _line_up(self) -> None:
        """Behind the queue comes what was conflated; from then on every tick is told again."""
        if self.every_tick and self.waiting <= EVERY_TICK_QUEUE_MAX:
            while self._newest:
                self._append(self._newest.pop(next(iter(self._newest))))

    def _append(self, quote: WaitingQuote) -> None:
        self._queue.append(Part(quote, 0, 1))
        self._queued += 1

    def send(self, text: bytes) -> None:
        """Send one message that is never conflated; a few wait while the socket is slow."""
        if self._transport is None or not self.is_open:
            return
        if not self.is_paused:
            self._transport.send(WSMsgType.TEXT, text)
        elif len(self._messages) < WAITING_MESSAGES_MAX:
            self._messages.append(text)
        else:
            self.close(STREAM_NOT_READ)

    def ping(self) -> None:
        """Make the other side show a sign of life, and close it when it showed none before."""
        transport = self._transport
        if transport is None or transport.is_disconnected:
            return
        self._heard = 0
        if self._is_closing or self._unanswered >= UNANSWERED_MAX:
            self.close(STREAM_NOT_READ)
            return
        self._unanswered += 1
        transport.send_ping()

    def close(self, spec: ErrorSpec) -> None:
        """End with the close code of the error, for example 4401; a second call ends at once."""
        transport = self._transport
        if transport is None or transport.is_disconnected:
            return
        if self._is_closing:
            transport.disconnect(graceful=False)
            return
        self._is_closing = True
        self.closed_by = spec.code
        code: Any = CLOSE_BASE + spec.http_status
        transport.send_close(code, spec.code.encode())
        transport.disconnect()

    @property
    def is_open(self) -> bool:
        """It takes messages."""
        transport = self._transport
        return transport is not None and not transport.is_disconnected and not self._is_closing

    @override
    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        self._hub.joined(self)

    @override
    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.writable.set()
        self._hub.left(self)

    @override
    def pause_writing(self) -> None:
        self.is_paused = True
        self.writable.clear()

    @override
    def resume_writing(self) -> None:
        self.is_paused = False
        self.writable.set()
        waiting, self._messages = self._messages, []
        for text in waiting:
            self.send(text)
        self._hub.changed(self)

    @override
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        match frame.msg_type:
            case WSMsgType.TEXT if frame.fin:
                self._take(frame.get_payload_as_bytes())
            case WSMsgType.CLOSE:
                transport.disconnect()
            case WSMsgType.PONG:
                self._unanswered = 0
                self._hub.answered(self)
            case WSMsgType.PING:
                self._answer_ping(transport, frame)
            case _:
                transport.send_close(WSCloseCode.UNSUPPORTED_DATA)
                transport.disconnect()

    def _answer_ping(self, transport: WSTransport, frame: WSFrame) -> None:
        """A PING costs as much as a message, and nothing more waits for who does not read."""
        self._heard += 1
        if self._heard > HEARD_MAX:
            self.close(STREAM_TOO_BUSY)
        elif not self.is_paused:
            transport.send_pong(frame.get_payload_as_bytes())

    def _take(self, data: bytes) -> None:
        self._heard += 1
        if self._heard > HEARD_MAX:
            self.close(STREAM_TOO_BUSY)
            return
        try:
            message = _decoder.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.close(STREAM_MESSAGE_INVALID)
            return
        match message:
            case PingMessage():
                self.send(PONG)
            case SubscribeMessage():
                chosen = message.symbols
                self._symbols = None if chosen is None else frozenset(chosen)
                self.every_tick = message.every_tick
                self._hub.changed(self)
            case TokenMessage():
                self._renew(message.token)
            case _:
                pass

    def _renew(self, token: str) -> None:
        try:
            self.token, self.ends = self._hub.verify(token, self.found)
        except AitradingError as exc:
            self.close(exc.spec)
