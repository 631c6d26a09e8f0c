"""What the gateway, the engine, every service and the client promise in a fault."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from harness.patching import Process, QuickRandomness, Room, promised_by

from aitrading.client.metatrader_connector.journal import JournalIdentity, TickJournal
from aitrading.client.metatrader_connector.poller import TERMINAL_RECONNECT, TickPoller
from aitrading.client.metatrader_connector.settings import ConnectorSettings
from aitrading.client.security.secure_websocket_client import (
    LINK_RECONNECT,
    LinkAddress,
    SecureWebSocketClient,
)
from aitrading.client.terminal.sim import SimulatedTerminal
from aitrading.client.testing.terminal_here import TerminalHere
from aitrading.core.infrastructure.central_hub import (
    REGISTRY_LOST,
    CentralHub,
    MemoryRegistryStore,
    ServiceRecord,
)
from aitrading.core.infrastructure.chain_registry import ChainRegistry
from aitrading.core.infrastructure.config_manager import ConfigManager
from aitrading.core.infrastructure.error_codes import REGISTRY_UNAVAILABLE
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.resilience import RetryPolicy
from aitrading.core.infrastructure.spool import SpoolLimits
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import DeviceId, SystemIdFactory, TenantId, UserId
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.kit.secret import Secret
from aitrading.core.protocol.link.messages import StreamDeclaration
from aitrading.core.protocol.link.session import ClientProfile
from aitrading.core.security.claims import NO_RATES, RateClaims
from aitrading.core.security.possession import Proof
from aitrading.core.testing.eventually import eventually
from aitrading.core.testing.file_keys import some_file_keys
from aitrading.server.api_gateway.call_sites import (
    HEALTH_LAST_KNOWN,
    PASSWORD_HASHING,
    PEER_BREAKER,
)
from aitrading.server.api_gateway.health.peer_report import PeerReport
from aitrading.server.api_gateway.health.sources import FAILURES_UNTIL_OPEN, PeerSource
from aitrading.server.authority.passwords import Argon2Cost, PasswordHasher, hashing_bulkhead
from aitrading.server.kit.bundle import NatsAccess, ValkeyAccess
from aitrading.server.kit.cache.in_process import InProcessCache
from aitrading.server.kit.cache.port import LIMITS, Cache
from aitrading.server.kit.cache.served import ServedCache
from aitrading.server.kit.database_errors import DATABASE_CONNECTION_LOST
from aitrading.server.kit.limit_levels import LimitKind, LimitLevels
from aitrading.server.kit.limit_settings import LimitSettings
from aitrading.server.kit.nats_connection import BUS_RECONNECT, NatsConnection
from aitrading.server.kit.peer_errors import PEER_UNREACHABLE
from aitrading.server.kit.rate_limits import (
    RATE_LIMITS_DEGRADE,
    RateLimits,
)
from aitrading.server.kit.used_proofs import (
    PROOF_UNCHECKED,
    USED_PROOFS_DEGRADE,
    CachedUsedProofs,
    SharedCache,
)
from aitrading.server.kit.valkey import ValkeyClient
from aitrading.server.supervisor.ports import free_port
from aitrading.server.testing.engines import ThrowawayAuthority
from aitrading.server.trading_engine.call_sites import BUS_HALT, DATABASE_HALT
from aitrading.server.trading_engine.feed_watch import FeedWatch
from aitrading.server.trading_engine.guard import EngineGuard
from aitrading.server.trading_engine.trading_switch import TradingSwitch

SILENT = PEER_UNREACHABLE.error(peer="data-bridge", reason="test")
CHEAP = Argon2Cost(memory_kib=64, passes=1)
STORM = 50


class Peer:
    """A service that answers, or does not."""

    def __init__(self) -> None:
        self.calls = 0
        self.answers = True

    async def get(self, _: str, *, answer: type[PeerReport], timeout_s: float) -> PeerReport:
        del timeout_s
        self.calls += 1
        if not self.answers:
            raise SILENT
        return answer(
            service="data-bridge", instance="1", version="0", state="HEALTHY", ready=True
        )


@promised_by(PEER_BREAKER)
async def a_silent_peer_is_not_asked_again_and_again(room: Room) -> Process:
    process, peer = Process.make(room.manual), Peer()
    source = PeerSource("data-bridge", peer, clock=room.manual, errors=process.errors)
    await source.look()
    peer.answers = False
    for _ in range(FAILURES_UNTIL_OPEN + 5):
        await source.look()
    assert peer.calls == 1 + FAILURES_UNTIL_OPEN
    return process


@promised_by(HEALTH_LAST_KNOWN)
async def a_silent_peer_is_shown_as_it_was_with_its_age(room: Room) -> Process:
    process, peer = Process.make(room.manual), Peer()
    source = PeerSource("data-bridge", peer, clock=room.manual, errors=process.errors)
    fresh = await source.look()
    peer.answers = False
    kept = await source.look()
    assert (kept.value, kept.stale_since_ns) == (fresh.value, room.manual.now_ns())
    return process


@promised_by(PASSWORD_HASHING)
async def a_storm_of_logins_is_refused_beyond_the_room(room: Room) -> Process:
    process = Process.make(room.clock)
    bulkhead = process.errors.guard(PASSWORD_HASHING, hashing_bulkhead())
    hasher = PasswordHasher(bulkhead, CHEAP)
    codes: list[str] = []

    async def log_in() -> None:
        try:
            await hasher.verify(Secret("not the password"), None)
        except AitradingError as exc:
            codes.append(exc.code)

    async with asyncio.TaskGroup() as group:
        for _ in range(STORM):
            group.create_task(log_in())
    assert codes == ["BULKHEAD_FULL"] * (STORM - 34)
    return process


class Pool:
    """PostgreSQL, there or not."""

    name = "postgres"

    def __init__(self, *, is_there: bool) -> None:
        self._is_there = is_there

    @asynccontextmanager
    async def platform_tx(self) -> AsyncIterator[Any]:
        if not self._is_there:
            raise DATABASE_CONNECTION_LOST.error(reason="test")
        yield self

    platform_read = platform_tx

    async def fetch_value(self, _: str) -> int:
        return 1


async def halted_engine(room: Room, *, bus: bool, database: bool) -> Process:
    """The engine without one of its foundations is not ready."""
    process = Process.make(room.manual)
    lost: Any = SimpleNamespace(statistics=lambda: SimpleNamespace(connected=bus))
    pool: Any = Pool(is_there=database)
    guard = EngineGuard(
        bus=lost,
        pool=pool,
        feeds=FeedWatch(),
        switch=TradingSwitch(),
        errors=process.errors,
        clock=room.manual,
    )
    await guard.look()
    assert not process.health.ready()
    return process


@promised_by(BUS_HALT)
async def an_engine_without_the_bus_is_not_ready(room: Room) -> Process:
    return await halted_engine(room, bus=False, database=True)


@promised_by(DATABASE_HALT)
async def an_engine_without_its_database_is_not_ready(room: Room) -> Process:
    return await halted_engine(room, bus=True, database=False)


class LostStore(MemoryRegistryStore):
    """A registry that does not answer."""

    async def put(self, record: ServiceRecord) -> None:
        raise REGISTRY_UNAVAILABLE.error(reason=f"test: {record.name}")

    async def list(self) -> list[ServiceRecord]:
        raise REGISTRY_UNAVAILABLE.error(reason="test")


@promised_by(REGISTRY_LOST)
async def discovery_answers_without_the_registry(room: Room) -> Process:
    process = Process.make(room.manual)
    CentralHub.reset_for_tests()
    hub = CentralHub(
        store=LostStore(),
        clock=room.manual,
        config=ConfigManager.load(()),
        errors=process.errors,
        chains=ChainRegistry(clock=room.manual, service="test", instance="1"),
    )
    try:
        await hub.start()
        assert hub.state is ComponentState.DEGRADED
        assert hub.stale_since_ns is not None
        assert hub.discover("data-bridge") == []
    finally:
        await hub.stop()
        CentralHub.reset_for_tests()
    return process


@asynccontextmanager
async def somebody_listens(port: int) -> AsyncIterator[asyncio.Event]:
    """From now on; the event tells that somebody came."""
    came = asyncio.Event()

    def met(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.set()
        writer.close()

    async with await asyncio.start_server(met, "127.0.0.1", port):
        yield came


async def comes_back(room: Room, process: Process, port: int) -> None:
    """Nobody listened at first; somebody who does later is found."""
    await eventually(process.errors.latest, what="the first failure")
    async with somebody_listens(port) as came, asyncio.timeout(room.patience_s):
        await came.wait()


@promised_by(BUS_RECONNECT)
async def a_bus_that_comes_later_is_found(room: Room) -> Process:
    process, port = Process.make(room.clock), free_port()
    authority = await asyncio.to_thread(ThrowawayAuthority, room.folder / "ca")
    connection = NatsConnection(
        NatsAccess(url=f"tls://127.0.0.1:{port}", user="u", password="p"),  # noqa: S106
        authority.issue("data-bridge"),
        clock=room.clock,
        errors=process.errors,
        policy=RetryPolicy(first_s=0.05, max_s=0.1, attempts=None, retryable=lambda _: True),
    )
    async with asyncio.TaskGroup() as group:
        starting = group.create_task(connection.start())
        await comes_back(room, process, port)
        starting.cancel()
    await connection.stop()
    return process


class NoTicks:
    """A user of the link that has nothing to say."""

    def declarations(self) -> Sequence[StreamDeclaration]:
        return ()

    def on_event(self, _: object) -> None:
        """Nothing."""

    def on_lost(self) -> None:
        """Nothing."""

    def on_writable(self) -> None:
        """Nothing."""


@promised_by(LINK_RECONNECT)
async def a_server_that_comes_later_is_found(room: Room) -> Process:
    process, port = Process.make(room.clock), free_port()
    attempts: list[int] = []

    def context() -> ssl.SSLContext:
        attempts.append(1)
        return ssl.create_default_context()

    link = SecureWebSocketClient(
        LinkAddress(host="127.0.0.1", port=port, server_name="link.localhost"),
        NoTicks(),
        context=context,
        profile=ClientProfile(software="test"),
        clock=room.clock,
        randomness=QuickRandomness(),
        errors=process.errors,
    )
    await link.start()
    try:
        await eventually(lambda: attempts, what="the first attempt")
        async with somebody_listens(port) as came, asyncio.timeout(room.patience_s):
            await came.wait()
        assert not link._tasks.statistics().failed, "connecting again is no accident"
    finally:
        await link.stop()
    return process


class LateTerminal(SimulatedTerminal):
    """Cannot be reached at the first attempts."""

    attempts = 0

    @property
    def is_running(self) -> bool:
        return self.attempts > 6

    def initialize(self, *args: object, **kwargs: object) -> bool:
        self.attempts += 1
        return super().initialize(*args, **kwargs)


@promised_by(TERMINAL_RECONNECT)
async def a_terminal_that_opens_later_is_found(room: Room) -> Process:
    process = Process.make(room.clock)
    identity = JournalIdentity(tenant=TenantId(UUID(int=1)), device=DeviceId(UUID(int=2)))
    journal = await TickJournal.open(
        room.folder / "journal",
        identity=identity,
        limits=SpoolLimits(),
        clock=room.clock,
        ids=SystemIdFactory(room.clock, SystemRandomness()),
        keys=some_file_keys(),
    )
    poller = TickPoller(
        TerminalHere(LateTerminal(room.clock)),
        journal,
        ConnectorSettings(),
        clock=room.clock,
        errors=process.errors,
        metrics=process.metrics,
    )
    await poller.start()
    try:
        await eventually(
            lambda: poller.state is ComponentState.HEALTHY,
            timeout_s=room.patience_s,
            what="the terminal being connected",
        )
    finally:
        await poller.stop()
        await journal.close()
    return process


def cache_that_is_away(room: Room) -> SharedCache:
    """Nobody listens where the cache should."""
    ids = SystemIdFactory(room.manual, SystemRandomness())
    gone = room.folder / "nobody.sock"
    access = ValkeyAccess(user="nobody", password="unused", socket=gone)  # noqa: S106  # pragma: allowlist secret
    client = ValkeyClient(access)
    return SharedCache(
        together=Cache(LIMITS, ServedCache(client, nullcontext), room.manual, ids),
        alone=Cache(LIMITS, InProcessCache(room.manual), room.manual, ids),
        client=client,
    )


@dataclass(frozen=True)
class Caller:
    """Whose requests are counted."""

    tenant: TenantId
    user: UserId
    rates: RateClaims = NO_RATES


@promised_by(RATE_LIMITS_DEGRADE)
async def requests_are_counted_without_the_cache(room: Room) -> Process:
    process, shared = Process.make(room.manual), cache_that_is_away(room)
    limits = RateLimits(
        shared.together,
        shared.alone,
        levels=LimitLevels(lambda: LimitSettings(identity_per_minute=20)),
        client=None,
        errors=process.errors,
        metrics=process.metrics,
        clock=room.manual,
    )
    caller = Caller(TenantId(UUID(int=7)), UserId(UUID(int=8)))
    refused: list[str] = []
    for _ in range(25):
        try:
            await limits.admit(caller, LimitKind.IDENTITY)
        except AitradingError as exc:
            refused.append(exc.code)
    assert refused == ["RATE_LIMIT_EXCEEDED"] * 20
    return process


@promised_by(USED_PROOFS_DEGRADE)
async def a_proof_works_once_without_the_cache(room: Room) -> Process:
    process = Process.make(room.manual)
    proofs = CachedUsedProofs(cache_that_is_away(room), errors=process.errors, clock=room.manual)
    await proofs.spend(Proof(thumbprint="of a key", use="read"), strict=False)
    refused: list[str] = []
    for use, strict in (("read", False), ("order", True)):
        try:
            await proofs.spend(Proof(thumbprint="of a key", use=use), strict=strict)
        except AitradingError as exc:
            refused.append(exc.code)
    assert refused == ["TOKEN_REFUSED", PROOF_UNCHECKED.code]
    return process
