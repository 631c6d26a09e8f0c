"""The link to the server: TLS, WebSocket, greeting, heartbeat, and back again after every loss.

The state is CONNECTED only after the server's HELLO_ACK was verified; before that nothing of the
user's is sent. Every loss leads to a new attempt with full jitter of 1 to 30 seconds, the first one
too, and for ever: certificates and addresses may be repaired meanwhile. Clients that one server
lost at one moment do not come back together.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated, Final, Protocol

import msgspec
from picows import (
    WSError,
    WSHandshakeError,
    ws_connect,  # pyright: ignore[reportUnknownVariableType]
)

from aitrading.client.security.checkpoints import WitnessedCheckpoint
from aitrading.client.security.errors import (
    LINK_ENDED,
    LINK_NOT_TRUSTED,
    LINK_REFUSED,
    LINK_UNREACHABLE,
)
from aitrading.client.security.link_connection import LinkConnection
from aitrading.client.security.trust import ssl_reason
from aitrading.core.infrastructure.error_handler import (
    RECONNECT_FOREVER,
    CallSite,
    ErrorHandler,
    RecoveryStrategy,
)
from aitrading.core.infrastructure.lifecycle import ComponentState, TaskSet
from aitrading.core.infrastructure.resilience import Timeouts, time_limit
from aitrading.core.kit.clock import NS_PER_MS, NS_PER_S, Clock
from aitrading.core.kit.errors import AitradingError, FieldValue
from aitrading.core.kit.randomness import Randomness
from aitrading.core.logging.optimized_log_router import get_logger
from aitrading.core.protocol.error_codes import LINK_GOING_AWAY
from aitrading.core.protocol.link.events import (
    ClientEvent,
    ErrorReported,
    Established,
    Failed,
    LatencyMeasured,
    PeerClosed,
)
from aitrading.core.protocol.link.frames import FRAME_BYTES_MAX
from aitrading.core.protocol.link.messages import StreamDeclaration
from aitrading.core.protocol.link.session import ClientProfile, ClientSession, SessionState

LINK_RECONNECT: Final = CallSite(
    name="client-link",
    strategy=RecoveryStrategy.RECONNECT,
    service="metatrader-connector",
    fault="The connection to the server is cut, refused or silent.",
    description="Connects again with full jitter of 1 to 30 s and resends what is not yet durable.",
)
POLL_S: Final = 0.1
LASTING_NS: Final = 10 * NS_PER_S
"""A link that lived this long was a good one: the next attempt comes within a second."""
LINK_PATH: Final = "/link"
SAID_CHARS: Final = 300
"""Of the server's own words about a refusal."""

_log = get_logger(__name__)
_picows_log = logging.getLogger("aitrading.picows")
_picows_log.setLevel(logging.WARNING)


class LinkState(StrEnum):
    """Where the link is."""

    DISCONNECTED = "DISCONNECTED"
    CONNECTING = "CONNECTING"
    GREETING = "GREETING"
    CONNECTED = "CONNECTED"


@dataclass(frozen=True, kw_only=True)
class LinkAddress:
    """Where to connect and which name the server must prove there."""

    host: str
    port: int
    server_name: str


class LinkUser(Protocol):
    """Who uses the link; called on the event loop."""

    def declarations(self) -> Sequence[StreamDeclaration]:
        """The streams to declare on a new link."""
        ...

    def on_event(self, event: ClientEvent) -> None:
        """Something happened on the link."""
        ...

    def on_lost(self) -> None:
        """The link is gone; nothing may be sent until the next `Established`."""
        ...

    def on_writable(self) -> None:
        """The socket takes data again."""
        ...


class SecureWebSocketClient:
    """Keeps one link alive.

    `context` makes the TLS context anew for every attempt, so that a renewed certificate is used.
    """

    def __init__(
        self,
        address: LinkAddress,
        user: LinkUser,
        *,
        context: Callable[[], ssl.SSLContext],
        profile: ClientProfile,
        clock: Clock,
        randomness: Randomness,
        errors: ErrorHandler,
    ) -> None:
        self.name = "link"
        self.depends_on = ("certificate", "uplink")
        self.address = address
        self.round_trip_ns: int | None = None
        self.connected_since_ns: int | None = None
        self.connections = 0
        self.last_error: str | None = None
        self.warned_of: str | None = None
        """Trouble that the server told of while it went on, once in this run."""
        self.on_news: Callable[[ClientEvent], None] = _ignore
        """Called with every event, after the user."""
        self.checkpoints: WitnessedCheckpoint | None = None
        """What is said with HELLO, and kept from HELLO_ACK."""
        self._user = user
        self._context = context
        self._profile = profile
        self._clock = clock
        self._randomness = randomness
        self._errors = errors
        self._tasks = TaskSet(self.name)
        self._state = ComponentState.NEW
        self._link_state = LinkState.DISCONNECTED
        self._connection: LinkConnection | None = None
        self._retry_after_s = 0.0
        self._short_lived = 0
        self._was_connected = False

    @property
    def state(self) -> ComponentState:
        """STARTING until CONNECTED for the first time, DEGRADED after a loss: ticks wait on disk."""
        return self._tasks.judged(self._state)

    @property
    def link_state(self) -> LinkState:
        """Where the link is now."""
        return self._link_state

    @property
    def session(self) -> ClientSession | None:
        """The session while the link is CONNECTED and the session has not ended."""
        connection = self._connection
        if connection is None or self._link_state is not LinkState.CONNECTED:
            return None
        is_open = connection.session.state is SessionState.OPEN
        return connection.session if is_open else None

    @property
    def is_writable(self) -> bool:
        """The socket keeps up; otherwise more would only fill memory."""
        return self._connection is not None and not self._connection.is_paused

    def statistics(self) -> dict[str, FieldValue]:
        """For health."""
        round_trip = self.round_trip_ns
        return {
            "link": self._link_state,
            "server": f"{self.address.host}:{self.address.port}",
            "connections": self.connections,
            "connected_since_ns": self.connected_since_ns,
            "round_trip_ms": None if round_trip is None else round_trip / NS_PER_MS,
            "last_error": self.last_error,
            "warned_of": self.warned_of,
        }

    def flush(self) -> None:
        """Send what the session has queued."""
        if self._connection is not None:
            self._connection.flush()

    def reconnect_now(self) -> None:
        """Drop the current connection, for example to use a renewed certificate."""
        if self._connection is not None:
            self._connection.close(LINK_GOING_AWAY)

    async def start(self) -> None:
        """Connect, and connect again, from now on; returns at once."""
        self._state = ComponentState.STARTING
        self._errors.declare(LINK_RECONNECT)
        self._tasks.keep(self._run, name="link", clock=self._clock)

    async def stop(self) -> None:
        """Say goodbye and stay away."""
        self._state = ComponentState.STOPPING
        if self._connection is not None:
            self._connection.close(LINK_GOING_AWAY)
        await self._tasks.close()
        self._state = ComponentState.STOPPED

    async def _run(self) -> None:
        while True:
            await self._pause()
            connection = await self._errors.reconnect(LINK_RECONNECT, self._connect)
            began_ns = self._clock.monotonic_ns()
            try:
                await connection.live(POLL_S)
            finally:
                self._lost(connection)
            self._was_connected = True
            lasted = self._clock.monotonic_ns() - began_ns >= LASTING_NS
            self._short_lived = 0 if lasted else self._short_lived + 1

    async def _pause(self) -> None:
        """Wait after a loss, and longer after links that broke at once, as after failed attempts."""
        if self._was_connected:
            failures = max(1, self._short_lived - 1)
            await self._clock.sleep(RECONNECT_FOREVER.delay_s(failures, self._randomness))

    async def _wait_as_told(self) -> None:
        """Stay away as long as the server asked with its last CLOSE, and up to that again.

        It may have told many at once the same.
        """
        wait_s, self._retry_after_s = self._retry_after_s, 0.0
        if wait_s:
            await self._clock.sleep(wait_s + self._randomness.uniform(0, wait_s))

    async def _connect(self) -> "LinkConnection":
        """One attempt: returns a connection whose greeting is finished, or raises."""
        await self._wait_as_told()
        self._link_state = LinkState.CONNECTING
        profile = self._profile
        if self.checkpoints is not None:
            profile = replace(profile, checkpoint=self.checkpoints.newest)
        connection = LinkConnection(ClientSession(self._clock, profile), self._on_event)
        connection.on_writable = self._user.on_writable
        self._connection = connection
        try:
            await self._open_socket(connection)
            self._link_state = LinkState.GREETING
            connection.greet(self._user.declarations())
            await connection.greeted(POLL_S)
        except BaseException as exc:
            self._abandon(connection, exc)
            raise
        return connection

    async def _open_socket(self, connection: "LinkConnection") -> None:
        address = self.address
        where = f"{address.host}:{address.port}"
        try:
            async with time_limit(Timeouts.FAST, what=f"connecting to {where}"):
                await ws_connect(
                    lambda: connection,
                    f"wss://{_bracketed(address.host)}:{address.port}{LINK_PATH}",
                    ssl_context=self._context(),
                    server_hostname=address.server_name,
                    extra_headers={"Host": address.server_name},
                    max_frame_size=FRAME_BYTES_MAX,
                    max_redirects=0,
                    logger_name=_picows_log,
                    use_aiofastnet=False,  # its own TLS would not run the pinned handshake
                )
        except ssl.SSLError as exc:
            raise LINK_NOT_TRUSTED.error(address=where, cause=ssl_reason(exc)) from exc
        except WSHandshakeError as exc:
            raise _refusal(exc) from exc
        except (OSError, WSError) as exc:
            raise LINK_UNREACHABLE.error(address=where, cause=str(exc) or repr(exc)) from exc
        if not connection.is_connected:  # picows does not tell a loss before its handshake's end
            raise LINK_UNREACHABLE.error(address=where, cause="the connection was closed")

    def _on_event(self, event: ClientEvent) -> None:
        match event:
            case Established():
                self._link_state = LinkState.CONNECTED
                self._state = ComponentState.HEALTHY
                self.connections += 1
                self.connected_since_ns = self._clock.now_ns()
                self.last_error = None
                self._witness(event.ack.checkpoint)
            case LatencyMeasured():
                self.round_trip_ns = event.round_trip_ns
            case ErrorReported():
                self.warned_of = event.notice.code
                _log.error("the server warns", error_code=event.notice.code)
            case PeerClosed():
                self.last_error = event.notice.code
                self._retry_after_s = event.notice.retry_after_ms / 1_000
            case Failed():
                self.last_error = event.error.code
                self._errors.classify(event.error)
            case _:
                pass
        self._user.on_event(event)
        self.on_news(event)

    def _witness(self, checkpoint: str) -> None:
        if self.checkpoints is not None and checkpoint:
            keeping = asyncio.to_thread(self.checkpoints.keep, checkpoint)
            self._tasks.start(keeping, name="checkpoint")

    def _abandon(self, connection: "LinkConnection", exc: BaseException) -> None:
        code = exc.code if isinstance(exc, AitradingError) else type(exc).__name__
        if isinstance(exc, AitradingError) and exc.spec is LINK_REFUSED:
            code = str(exc.fields.get("server_code") or code)  # what it says of itself
        if code != LINK_ENDED.code or self.last_error is None:  # the server's own word says more
            self.last_error = code
        connection.abort()
        self._lost(connection)

    def _lost(self, connection: "LinkConnection") -> None:
        was_connected = self._link_state is LinkState.CONNECTED
        connection.abort()
        self._connection = None
        self._link_state = LinkState.DISCONNECTED
        self.connected_since_ns = None
        if self._state is ComponentState.HEALTHY:
            self._state = ComponentState.DEGRADED
        if was_connected:
            _log.warning("link lost", reason=self.last_error or "connection cut")
        self._user.on_lost()


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _ignore(_event: ClientEvent) -> None:
    """Nobody listens."""


class _Told(msgspec.Struct, frozen=True, kw_only=True):
    """What the server says of a refusal."""

    code: Annotated[str, msgspec.Meta(pattern=r"^[A-Z][A-Z0-9_]{0,63}$")]
    message: str = ""
    trace_id: Annotated[str, msgspec.Meta(max_length=64)] = ""


class _ToldAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The one JSON shape of errors."""

    error: _Told


def _refusal(exc: WSHandshakeError) -> AitradingError:
    """Why the upgrade was refused; an edge or proxy in between may say less than our server."""
    status = int(exc.response.status) if exc.response else 0
    try:
        told = msgspec.json.decode(exc.raw_body or b"", type=_ToldAnswer).error
    except msgspec.MsgspecError:
        return LINK_REFUSED.error(status=status, said="it does not say why")
    said = ", ".join(filter(None, (told.code, told.message[:SAID_CHARS].rstrip("."))))
    return LINK_REFUSED.error(
        status=status, said=said, server_code=told.code, server_trace=told.trace_id
    )
