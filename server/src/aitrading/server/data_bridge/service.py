"""The composition root of the data bridge."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Final

from aitrading.core.infrastructure.chain_registry import ChainRegistry
from aitrading.core.infrastructure.config_manager import ConfigManager
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.event_bus import EventBus
from aitrading.core.infrastructure.import_manager import ImportManager
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.resilience import CircuitBreaker, Fallback, ResilienceRegistry
from aitrading.core.infrastructure.spool import Spool, SpoolLimits
from aitrading.core.kit.clock import Clock
from aitrading.core.kit.ids import IdFactory
from aitrading.core.security.jwt_manager import JwtVerifier
from aitrading.server.data_bridge.announcer import Announcer
from aitrading.server.data_bridge.call_sites import ALL_CALL_SITES, QUOTE_FALLBACK, SERVICE
from aitrading.server.data_bridge.endpoints import MarketDataEndpoints
from aitrading.server.data_bridge.fanout import FanOut
from aitrading.server.data_bridge.feeds import FeedWatch
from aitrading.server.data_bridge.flow import TickFlow
from aitrading.server.data_bridge.handover import SegmentHandover
from aitrading.server.data_bridge.ingest import TickIngest
from aitrading.server.data_bridge.last_known import QuoteReader
from aitrading.server.data_bridge.links import DeviceLinks
from aitrading.server.data_bridge.peers import DatabasePeer, IdentityPeer
from aitrading.server.data_bridge.ports import DeviceRegister, TickStore
from aitrading.server.data_bridge.quotes import QuoteBoard
from aitrading.server.data_bridge.settings import BridgeSettings, FeedSettings, StreamSettings
from aitrading.server.data_bridge.spool_guard import SpoolGuard
from aitrading.server.data_bridge.streams import StreamDirectory
from aitrading.server.data_bridge.websocket_server import WebSocketServer
from aitrading.server.kit.authentication import Authenticator
from aitrading.server.kit.bundle import ServiceBundle
from aitrading.server.kit.internal_client import InternalClient
from aitrading.server.kit.service_spec import ServiceSpec

MIB: Final = 1024 * 1024
DATABASE: Final = "database-service"
IDENTITY: Final = "api-gateway"
BREAKER_OPEN_S: Final = 5.0


def providers(manager: ImportManager) -> None:
    """What the data bridge is made of."""
    manager.provide(_database, provides=TickStore)
    manager.provide(_identity, provides=DeviceRegister)
    manager.provide(_spool)
    manager.provide(_streams)
    manager.provide(TickIngest)
    manager.provide(_links)
    manager.provide(_spool_guard)
    manager.provide(_handover)
    manager.provide(QuoteBoard)
    manager.provide(_feeds)
    manager.provide(_fan_out)
    manager.provide(_announcer)
    manager.provide(TickFlow)
    manager.provide(_reader)
    manager.provide(MarketDataEndpoints)
    manager.provide(_websocket_server)


def spool_folder(bundle: ServiceBundle) -> Path:
    """Where acknowledged ticks wait for the database service."""
    return bundle.home / "spool" / bundle.service


async def _database(
    bundle: ServiceBundle, resilience: ResilienceRegistry, clock: Clock, ids: IdFactory
) -> AsyncGenerator[DatabasePeer]:
    client = InternalClient.of(bundle, DATABASE, clock, ids)
    breaker = CircuitBreaker("bridge-database", clock=clock, open_s=BREAKER_OPEN_S)
    yield DatabasePeer(client, resilience.add(breaker))
    await client.close()


async def _identity(
    bundle: ServiceBundle, resilience: ResilienceRegistry, clock: Clock, ids: IdFactory
) -> AsyncGenerator[IdentityPeer]:
    client = InternalClient.of(bundle, IDENTITY, clock, ids)
    breaker = CircuitBreaker("bridge-identity", clock=clock, open_s=BREAKER_OPEN_S)
    yield IdentityPeer(client, resilience.add(breaker))
    await client.close()


async def _spool(
    bundle: ServiceBundle, settings: BridgeSettings, clock: Clock, ids: IdFactory
) -> AsyncGenerator[Spool]:
    limits = SpoolLimits(
        limit_bytes=settings.spool_limit_mb * MIB,
        segment_bytes=settings.segment_mb * MIB,
        segment_age_ms=settings.segment_age_ms,
    )
    async with await Spool.open(
        spool_folder(bundle), limits=limits, clock=clock, ids=ids
    ) as spool:
        yield spool


async def _streams(store: TickStore, spool: Spool, errors: ErrorHandler) -> StreamDirectory:
    errors.declare(*ALL_CALL_SITES)
    streams = StreamDirectory(store)
    await streams.recover(spool)
    return streams


def _links(  # noqa: PLR0913 - the meeting point of the link's parts
    ingest: TickIngest,
    streams: StreamDirectory,
    register: DeviceRegister,
    settings: BridgeSettings,
    bus: EventBus,
    errors: ErrorHandler,
    metrics: Metrics,
    clock: Clock,
    ids: IdFactory,
) -> DeviceLinks:
    return DeviceLinks(
        ingest=ingest,
        streams=streams,
        register=register,
        settings=settings,
        bus=bus,
        errors=errors,
        metrics=metrics,
        clock=clock,
        ids=ids,
    )


def _spool_guard(
    bundle: ServiceBundle,
    spool: Spool,
    ingest: TickIngest,
    links: DeviceLinks,
    errors: ErrorHandler,
    metrics: Metrics,
    clock: Clock,
) -> SpoolGuard:
    return SpoolGuard(
        spool,
        spool_folder(bundle),
        ingest=ingest,
        links=links,
        errors=errors,
        metrics=metrics,
        clock=clock,
    )


def _handover(
    spool: Spool,
    store: TickStore,
    errors: ErrorHandler,
    metrics: Metrics,
    chains: ChainRegistry,
    clock: Clock,
) -> SegmentHandover:
    return SegmentHandover(
        spool, store, errors=errors, metrics=metrics, chains=chains, clock=clock
    )


def _feeds(clock: Clock, config: ConfigManager) -> FeedWatch:
    return FeedWatch(clock, lambda: config.get(FeedSettings))


def _fan_out(
    board: QuoteBoard,
    feeds: FeedWatch,
    authenticator: Authenticator,
    verifier: JwtVerifier,
    config: ConfigManager,
    chains: ChainRegistry,
    metrics: Metrics,
    clock: Clock,
) -> FanOut:
    return FanOut(
        board=board,
        feeds=feeds,
        authenticator=authenticator,
        verifier=verifier,
        settings=lambda: config.get(StreamSettings),
        chains=chains,
        metrics=metrics,
        clock=clock,
    )


def _announcer(
    bus: EventBus,
    feeds: FeedWatch,
    settings: BridgeSettings,
    errors: ErrorHandler,
    clock: Clock,
) -> Announcer:
    return Announcer(bus, feeds, settings, errors=errors, clock=clock)


def _reader(
    board: QuoteBoard,
    feeds: FeedWatch,
    store: TickStore,
    resilience: ResilienceRegistry,
    errors: ErrorHandler,
    clock: Clock,
) -> QuoteReader:
    fallback = resilience.add(Fallback(QUOTE_FALLBACK.name, clock=clock))
    return QuoteReader(board, feeds, store, fallback=fallback, errors=errors, clock=clock)


def _websocket_server(
    bundle: ServiceBundle, links: DeviceLinks, fan_out: FanOut
) -> WebSocketServer:
    path = bundle.websocket_socket or bundle.listener.socket.with_name(f"{SERVICE}-ws.sock")
    return WebSocketServer(path, links, fan_out)


SPEC: Final = ServiceSpec(
    name=SERVICE,
    depends_on=("nats", "api-gateway"),
    sections=(BridgeSettings, FeedSettings, StreamSettings),
    providers=providers,
    components=(
        SegmentHandover,
        DeviceLinks,
        SpoolGuard,
        FanOut,
        Announcer,
        TickFlow,
        WebSocketServer,
    ),
    endpoints=(MarketDataEndpoints,),
)
