"""The link client against a small server: real TLS, real WebSocket, a real server session."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from picows import (
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_create_server,
)
from typing_extensions import override

from aitrading.client.security.checkpoints import WitnessedCheckpoint
from aitrading.client.security.link_connection import LinkConnection
from aitrading.client.security.secure_websocket_client import (
    LinkAddress,
    LinkState,
    SecureWebSocketClient,
)
from aitrading.client.security.trust import ClientCertificate, ServerTrust, client_context
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.resilience import ResilienceRegistry
from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.protocol.error_codes import LINK_GOING_AWAY, LINK_OVERLOADED
from aitrading.core.protocol.link.events import ClientEvent, Established, HelloReceived
from aitrading.core.protocol.link.messages import StreamDeclaration
from aitrading.core.protocol.link.session import (
    ClientProfile,
    LinkLimits,
    ServerProfile,
    ServerSession,
)
from aitrading.core.security.crypto import TlsKey, sha256
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.core.testing.throwaway_ca import IDENTITY, ThrowawayCa, validity

CLOCK = SystemClock()


class QuickRandomness(SystemRandomness):
    """Draws short waits and remembers their ceilings."""

    def __init__(self) -> None:
        super().__init__()
        self.ceilings: list[float] = []

    @override
    def uniform(self, low: float, high: float) -> float:
        self.ceilings.append(high)
        return min(high, 0.01)


class Peer(WSListener):
    """One connection as the server sees it."""

    def __init__(self, server: "Server") -> None:
        self.server = server
        limits = LinkLimits(ping_interval_ms=200, idle_timeout_ms=1_000)
        profile = ServerProfile(
            tenant=IDENTITY.tenant, device=IDENTITY.device, software="test", limits=limits,
            checkpoint=server.checkpoint,
        )  # fmt: skip
        self.session = ServerSession(CLOCK, profile)
        self.transport: WSTransport | None = None

    @override
    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        self.server.peers.append(self)

    @override
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is not WSMsgType.BINARY:
            transport.disconnect()
            return
        for event in self.session.receive(frame.get_payload_as_bytes()):
            if isinstance(event, HelloReceived):
                self.server.witnessed.append(event.hello.checkpoint)
                self.server.greet(self)
        self.flush()

    def flush(self) -> None:
        assert self.transport is not None
        for message in self.session.outgoing():
            self.transport.send(WSMsgType.BINARY, message)

    def cut(self) -> None:
        assert self.transport is not None
        self.transport.disconnect(graceful=False)


@dataclass
class Server:
    """Counts connections; `greet` decides how HELLO is answered."""

    greet: Callable[[Peer], None] = lambda peer: peer.session.accept("s1", {})
    peers: list[Peer] = field(default_factory=list)
    requests: list[WSUpgradeRequest] = field(default_factory=list)
    port: int = 0
    listening: Any = None
    checkpoint: str = ""
    witnessed: list[str] = field(default_factory=list)
    refusal: tuple[int, bytes] | None = None
    """With which status and body upgrades are refused."""


class User:
    def __init__(self) -> None:
        self.events: list[ClientEvent] = []
        self.losses = 0

    def declarations(self) -> Sequence[StreamDeclaration]:
        return ()

    def on_event(self, event: ClientEvent) -> None:
        self.events.append(event)

    def on_lost(self) -> None:
        self.losses += 1

    def on_writable(self) -> None:
        pass


@dataclass
class World:
    """An authority, a server certificate and a device certificate."""

    folder: Path
    ca: ThrowawayCa = field(default_factory=ThrowawayCa)
    key: TlsKey = field(default_factory=TlsKey.generate)

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.ca.server(self.folder, key=self.key))
        context.load_verify_locations(cadata=self.ca.pem.decode())
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    def client_context(self, *, pin: bytes | None = None, expired: bool = False) -> ssl.SSLContext:
        device = TlsKey.generate()
        path = self.folder / "device.pem"
        life = validity(-100, -10) if expired else None
        path.write_bytes(device.pem().reveal() + self.ca.device(device, life=life))
        pins = frozenset({pin or sha256(self.key.public_der())})
        trust = ServerTrust(ca_pem=self.ca.pem.decode(), spki_pins=pins)
        return client_context(trust, ClientCertificate(certificate=path, private_key=path))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@asynccontextmanager
async def serving(world: World, server: Server, port: int = 0) -> AsyncGenerator[None]:
    def accept(request: WSUpgradeRequest) -> Any:
        server.requests.append(request)
        if server.refusal is not None:
            response: Any = WSUpgradeResponse.create_error_response(*server.refusal)
            return WSUpgradeResponseWithListener(response, None)
        return Peer(server)

    listening = await ws_create_server(
        accept, "127.0.0.1", port, ssl=world.server_context(), use_aiofastnet=False
    )
    server.port = listening.sockets[0].getsockname()[1]
    server.listening = listening
    try:
        yield
    finally:
        listening.close()
        for peer in server.peers:
            peer.cut()


@asynccontextmanager
async def linking(
    port: int, context: Callable[[], ssl.SSLContext], randomness: QuickRandomness | None = None
) -> AsyncGenerator[tuple[SecureWebSocketClient, User]]:
    randomness = randomness or QuickRandomness()
    user = User()
    errors = ErrorHandler(
        clock=CLOCK, randomness=randomness, metrics=Metrics(), resilience=ResilienceRegistry()
    )
    limits = LinkLimits(greeting_timeout_ms=500)
    link = SecureWebSocketClient(
        LinkAddress(host="127.0.0.1", port=port, server_name="link.localhost"),
        user,
        context=context,
        profile=ClientProfile(software="test", limits=limits),
        clock=CLOCK,
        randomness=randomness,
        errors=errors,
    )
    await link.start()
    try:
        yield link, user
    finally:
        await link.stop()


@async_test
async def test_connected_means_greeted(world: World) -> None:
    held: list[Peer] = []
    server = Server(greet=held.append)
    async with (
        serving(world, server),
        linking(server.port, world.client_context) as (link, user),
    ):
        await eventually(lambda: held)
        assert link.link_state is LinkState.GREETING
        assert link.session is None, "nobody can send before the greeting"
        assert link.state is ComponentState.STARTING
        held[0].session.accept("s1", {})
        held[0].flush()
        await eventually(lambda: link.link_state is LinkState.CONNECTED)
        assert link.session is not None
        assert link.state is ComponentState.HEALTHY
        assert any(isinstance(event, Established) for event in user.events)
        request = server.requests[0]
        assert (request.path, request.headers["host"]) == (b"/link", "link.localhost")


@async_test
async def test_it_comes_back_after_every_loss(world: World) -> None:
    server = Server()
    async with (
        serving(world, server),
        linking(server.port, world.client_context) as (link, user),
    ):
        for count in range(1, 6):
            await eventually(lambda count=count: link.connections == count)
            server.peers[-1].cut()
            await eventually(lambda count=count: user.losses >= count)
        await eventually(lambda: link.link_state is LinkState.CONNECTED)


@async_test
async def test_it_comes_back_after_something_unforeseen(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, live, failed = Server(), LinkConnection.live, asyncio.Event()

    async def fails_once(connection: LinkConnection, poll_s: float) -> None:
        if not failed.is_set():
            failed.set()
            raise ValueError("unforeseen")
        await live(connection, poll_s)

    monkeypatch.setattr(LinkConnection, "live", fails_once)
    async with (
        serving(world, server),
        linking(server.port, world.client_context) as (link, _),
    ):
        await eventually(failed.is_set)
        await eventually(lambda: link.connections >= 2 and link.link_state is LinkState.CONNECTED)
        assert link.state is ComponentState.DEGRADED, "it says so for a while"


@async_test
async def test_the_newest_checkpoint_is_kept_and_said_again(world: World, home: Path) -> None:
    """Over a loss and over a restart; a server that says none takes none away."""
    server = Server(checkpoint="tree 5 \u2713")
    async with serving(world, server):
        for said in ("tree 5 \u2713", "tree 6", ""):
            server.checkpoint = said
            async with linking(server.port, world.client_context) as (link, _):
                link.checkpoints = WitnessedCheckpoint(home)
                await eventually(lambda: link.link_state is LinkState.CONNECTED)
                kept = said or "tree 6"
                await eventually(lambda kept=kept: WitnessedCheckpoint(home).newest == kept)
                server.peers[-1].cut()
                await eventually(lambda: link.connections >= 2)
                assert server.witnessed[-1] == kept
    (home / "identity" / "checkpoint").write_bytes(b"\xff" * 9)
    assert WitnessedCheckpoint(home).newest == ""


@async_test
async def test_waits_grow_to_thirty_seconds_with_full_jitter(world: World) -> None:
    randomness = QuickRandomness()
    async with linking(1, world.client_context, randomness) as (link, _):
        await eventually(lambda: len(randomness.ceilings) >= 7)
        assert link.last_error == "LINK_UNREACHABLE"
    assert randomness.ceilings[:7] == [1, 2, 4, 8, 16, 30, 30]


@async_test
async def test_a_lost_link_and_an_order_to_wait_have_jitter_too(world: World) -> None:
    """Two thousand clients that one server lost, or sent away, do not come back at one moment."""

    def send_away(peer: Peer) -> None:
        peer.session.close(LINK_OVERLOADED, retry_after_ms=50)

    randomness, server = QuickRandomness(), Server()
    async with (
        serving(world, server),
        linking(server.port, world.client_context, randomness) as (link, _),
    ):
        await eventually(lambda: link.connections == 1)
        assert randomness.ceilings == []
        server.peers[-1].cut()
        await eventually(lambda: link.connections >= 2)
        assert randomness.ceilings == [1]
        server.greet = send_away
        server.peers[-1].cut()
        await eventually(lambda: len(server.peers) >= 5)
    assert 0.05 in randomness.ceilings, "beside the time it was told"


@async_test
async def test_a_server_that_has_another_key_after_a_loss_is_not_believed(world: World) -> None:
    """Certified by the same authority for the same name: the pin is looked at in every handshake."""
    first, second = Server(), Server()
    context = world.client_context()
    async with serving(world, first), linking(first.port, lambda: context) as (link, _):
        await eventually(lambda: link.connections == 1)
        port, world.key = first.port, TlsKey.generate()
        first.peers[-1].cut()
        first.listening.close()
        async with serving(world, second, port):
            await eventually(lambda: link.last_error == "LINK_NOT_TRUSTED")
            assert (second.requests, link.connections) == ([], 1)


@async_test
async def test_no_proxy_of_the_environment_is_used(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "ws_proxy", "wss_proxy"):
        for spelling in (name, name.upper()):
            monkeypatch.setenv(spelling, "http://127.0.0.1:1")
    server = Server()
    async with (
        serving(world, server),
        linking(server.port, world.client_context) as (link, _),
    ):
        await eventually(lambda: link.link_state is LinkState.CONNECTED)


@async_test
async def test_a_heartbeat_measures_and_a_silent_server_is_left(world: World) -> None:
    server = Server()
    async with (
        serving(world, server),
        linking(server.port, world.client_context) as (link, _),
    ):
        await eventually(lambda: link.round_trip_ns is not None)
        assert server.peers[0].transport is not None
        server.peers[0].transport.underlying_transport.pause_reading()
        await eventually(lambda: link.connections >= 2)


@async_test
async def test_a_server_that_never_greets_is_left(world: World) -> None:
    server = Server(greet=lambda _: None)
    async with (
        serving(world, server),
        linking(server.port, world.client_context) as (link, _),
    ):
        await eventually(lambda: len(server.peers) >= 2)
        assert link.connections == 0


@async_test
async def test_the_server_says_when_to_come_back(world: World) -> None:
    def send_away(peer: Peer) -> None:
        peer.session.close(LINK_OVERLOADED, retry_after_ms=2_000)

    server = Server(greet=send_away)
    async with (
        serving(world, server),
        linking(server.port, world.client_context) as (link, _),
    ):
        await eventually(lambda: link.last_error == "LINK_OVERLOADED")
        seen = len(server.peers)
        await asyncio.sleep(0.3)
        assert len(server.peers) == seen
        await eventually(lambda: len(server.peers) > seen)


@async_test
async def test_goodbye_is_said(world: World) -> None:
    server = Server()
    async with serving(world, server):
        async with linking(server.port, world.client_context) as (link, _):
            await eventually(lambda: link.link_state is LinkState.CONNECTED)
        assert link.state is ComponentState.STOPPED
        await eventually(lambda: server.peers[0].session.state == "CLOSED")
    assert LINK_GOING_AWAY.code == "LINK_GOING_AWAY"


@pytest.mark.parametrize("wrong", ["pin", "certificate"])
def test_a_wrong_end_of_the_link_is_never_connected(world: World, wrong: str) -> None:
    @async_test
    async def scenario() -> None:
        server = Server()
        pin = b"\0" * 32 if wrong == "pin" else None
        context = lambda: world.client_context(pin=pin, expired=wrong == "certificate")  # noqa: E731
        async with serving(world, server), linking(server.port, context) as (link, _):
            await eventually(lambda: link.last_error)
            expected = {"LINK_NOT_TRUSTED"} if wrong == "pin" else {
                "LINK_NOT_TRUSTED", "LINK_UNREACHABLE", "LINK_REFUSED", "LINK_ENDED",
            }  # fmt: skip
            assert link.last_error in expected
            assert server.requests == []
            assert link.connections == 0

    scenario()


FULL = b"""{"error":{"code":"BRIDGE_LINKS_FULL","message":"9 devices are connected; the limit is 9.",
"category":"retryable","remedy":"Wait.","request_id":"r","trace_id":"t"}}"""


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (FULL, "BRIDGE_LINKS_FULL"),
        (b'{"error":{"code":"LINK_OVERLOADED"}}', "LINK_OVERLOADED"),
        (b"no healthy upstream", "LINK_REFUSED"),
        (b'{"error":{"code":"Not one of ours\\n"}}', "LINK_REFUSED"),
        (b"", "LINK_REFUSED"),
    ],
)
def test_why_the_server_refused_is_known_here(world: World, body: bytes, shown: str) -> None:
    @async_test
    async def scenario() -> None:
        server = Server(refusal=(503, body))
        async with (
            serving(world, server),
            linking(server.port, world.client_context) as (link, _),
        ):
            await eventually(lambda: link.last_error)
            assert link.last_error == shown
            server.refusal = None
            await eventually(lambda: link.link_state is LinkState.CONNECTED)
            assert link.last_error is None

    scenario()
