"""The composition root of the data bridge."""

from collections.abc import AsyncGenerator
from typing import Final

from aitrading.core.infrastructure.chain_registry import ChainRegistry
from aitrading.core.infrastructure.config_manager import ConfigManager
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.event_bus import EventBus
from aitrading.core.infrastructure.import_manager import ImportManager
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.resilience import CircuitBreaker, Fallback
from aitrading.core.infrastructure.service_registry import PublishedRoute
from aitrading.core.infrastructure.spool import Spool, SpoolLimits
from aitrading.core.infrastructure.tracing import RequestTracer
from aitrading.core.kit.clock import Clock
from aitrading.core.kit.ids import IdFactory
from aitrading.core.security.file_sealing import FileKeys
from aitrading.server.data_bridge.announcer import Announcer
from aitrading.server.data_bridge.calendars import Calendars
from aitrading.server.data_bridge.call_sites import (
    ALL_CALL_SITES,
    DATABASE_BREAKER,
    IDENTITY_BREAKER,
    QUOTE_FALLBACK,
    SERVICE,
)
from aitrading.server.data_bridge.connections import ConnectionEndpoints
from aitrading.server.data_bridge.endpoints import MarketDataEndpoints
from aitrading.server.data_bridge.fanout import STREAM_PATH, FanOut
from aitrading.server.data_bridge.feeds import FeedWatch
from aitrading.server.data_bridge.flow import TickFlow
from aitrading.server.data_bridge.handover import SegmentHandover
from aitrading.server.data_bridge.ingest import TickIngest
from aitrading.server.data_bridge.last_known import QuoteReader
from aitrading.server.data_bridge.links import DeviceLinks
from aitrading.server.data_bridge.peers import DatabasePeer, IdentityPeer
from aitrading.server.data_bridge.ports import DeviceRegister, TickStore
from aitrading.server.data_bridge.quotes import QuoteBoard
from aitrading.server.data_bridge.rate_keeper import RateKeeper
from aitrading.server.data_bridge.settings import (
    BridgeSettings,
    DoubtSettings,
    FeedSettings,
    StreamSettings,
)
from aitrading.server.data_bridge.shares import Shares, SpoolShares
from aitrading.server.data_bridge.spool_guard import SpoolFolder, SpoolGuard
from aitrading.server.data_bridge.streams import StreamDirectory
from aitrading.server.data_bridge.tick_rates import TickRates
from aitrading.server.data_bridge.truth import TruthKeeper
from aitrading.server.data_bridge.viewers import Viewers
from aitrading.server.data_bridge.websocket_server import WebSocketServer
from aitrading.server.kit.authentication import Authenticator
from aitrading.server.kit.bundle import ServiceBundle
from aitrading.server.kit.calendar_settings import CalendarSettings
from aitrading.server.kit.internal_client import InternalClient
from aitrading.server.kit.limit_levels import LimitLevels
from aitrading.server.kit.limit_settings import LimitSettings
from aitrading.server.kit.rate_limits import RateLimits
from aitrading.server.kit.revoked_tokens import RevokedTokens
from aitrading.server.kit.service_spec import ServiceSpec
from aitrading.server.kit.subscription_gate import SubscriptionGate
from aitrading.server.personal_data.file_keys import file_keys_of

MIB: Final = 1024 * 1024
DATABASE: Final = "database-service"
IDENTITY: Final = "api-gateway"
BREAKER_OPEN_S: Final = 5.0


def providers(manager: ImportManager) -> None:
    """What the data bridge is made of."""
    manager.provide(_database, provides=TickStore)
    manager.provide(_identity, provides=DeviceRegister)
    manager.provide(_spool_folder)
    manager.provide(file_keys_of)
    manager.provide(_spool)
    manager.provide(_shares)
    manager.provide(SpoolShares)
    manager.provide(_streams)
    manager.provide(TickIngest)
    manager.provide(TruthKeeper)
    manager.provide(DeviceLinks)
    manager.provide(SpoolGuard)
    manager.provide(SegmentHandover)
    manager.provide(QuoteBoard)
    manager.provide(Calendars)
    manager.provide(TickRates)
    manager.provide(_rate_keeper)
    manager.provide(_feeds)
    manager.provide(_gate)
    manager.provide(Viewers)
    manager.provide(_fan_out)
    manager.provide(Announcer)
    manager.provide(TickFlow)
    manager.provide(_fallback)
    manager.provide(QuoteReader)
    manager.provide(MarketDataEndpoints)
    manager.provide(_connections)
    manager.provide(_websocket_server)


def _spool_folder(bundle: ServiceBundle) -> SpoolFolder:
    return SpoolFolder(bundle.home / "spool" / bundle.service)


async def _database(
    bundle: ServiceBundle, errors: ErrorHandler, clock: Clock, ids: IdFactory
) -> AsyncGenerator[DatabasePeer]:
    client = InternalClient.of(bundle, DATABASE, clock, ids)
    breaker = CircuitBreaker(DATABASE_BREAKER.name, clock=clock, open_s=BREAKER_OPEN_S)
    yield DatabasePeer(client, errors.guard(DATABASE_BREAKER, breaker))
    await client.close()


async def _identity(
    bundle: ServiceBundle, errors: ErrorHandler, clock: Clock, ids: IdFactory
) -> AsyncGenerator[IdentityPeer]:
    client = InternalClient.of(bundle, IDENTITY, clock, ids)
    breaker = CircuitBreaker(IDENTITY_BREAKER.name, clock=clock, open_s=BREAKER_OPEN_S)
    yield IdentityPeer(client, errors.guard(IDENTITY_BREAKER, breaker))
    await client.close()


async def _spool(
    folder: SpoolFolder, keys: FileKeys, settings: BridgeSettings, clock: Clock, ids: IdFactory
) -> AsyncGenerator[Spool]:
    limits = SpoolLimits(
        limit_bytes=settings.spool_limit_mb * MIB,
        segment_bytes=settings.segment_mb * MIB,
        segment_age_ms=settings.segment_age_ms,
        small_bytes=settings.small_segment_kb << 10,
        small_age_ms=settings.small_segment_age_ms,
    )
    opened = await Spool.open(folder, limits=limits, clock=clock, ids=ids, keys=keys)
    async with opened as spool:
        yield spool


def _shares(config: ConfigManager, metrics: Metrics) -> Shares:
    return Shares(LimitLevels(lambda: config.get(LimitSettings)), metrics)


async def _streams(
    store: TickStore,
    spool: Spool,
    shares: Shares,
    spool_shares: SpoolShares,
    errors: ErrorHandler,
) -> StreamDirectory:
    errors.declare(*ALL_CALL_SITES)
    streams = StreamDirectory(store, shares)
    await streams.recover(spool, spool_shares)
    return streams


def _gate(store: TickStore, bus: EventBus, clock: Clock) -> SubscriptionGate:
    return SubscriptionGate(source=store, bus=bus, clock=clock)


def _fallback(errors: ErrorHandler, clock: Clock) -> Fallback:
    return errors.guard(QUOTE_FALLBACK, Fallback(QUOTE_FALLBACK.name, clock=clock))


def _feeds(
    clock: Clock, config: ConfigManager, calendars: Calendars, rates: TickRates
) -> FeedWatch:
    return FeedWatch(clock, lambda: config.get(FeedSettings), calendars, rates)


def _rate_keeper(
    rates: TickRates, bundle: ServiceBundle, keys: FileKeys, clock: Clock
) -> RateKeeper:
    return RateKeeper(rates, bundle.home / "feeds", keys, clock)


def _fan_out(  # noqa: PLR0913, PLR0917 - the meeting point of the streams' parts
    board: QuoteBoard,
    feeds: FeedWatch,
    authenticator: Authenticator,
    revoked: RevokedTokens,
    rates: RateLimits,
    shares: Shares,
    viewers: Viewers,
    gate: SubscriptionGate,
    tracer: RequestTracer,
    config: ConfigManager,
    chains: ChainRegistry,
    metrics: Metrics,
    clock: Clock,
    ids: IdFactory,
) -> FanOut:
    return FanOut(
        board=board,
        feeds=feeds,
        authenticator=authenticator,
        revoked=revoked,
        rates=rates,
        shares=shares,
        viewers=viewers,
        gate=gate,
        tracer=tracer,
        settings=lambda: config.get(StreamSettings),
        chains=chains,
        metrics=metrics,
        clock=clock,
        ids=ids,
    )


def _connections(links: DeviceLinks, fan_out: FanOut) -> ConnectionEndpoints:
    return ConnectionEndpoints(links, fan_out)


def _websocket_server(
    bundle: ServiceBundle, links: DeviceLinks, fan_out: FanOut, ids: IdFactory
) -> WebSocketServer:
    path = bundle.websocket_socket or bundle.listener.socket.with_name(f"{SERVICE}-ws.sock")
    return WebSocketServer(path, links, fan_out, ids)


SPEC: Final = ServiceSpec(
    name=SERVICE,
    depends_on=("nats", "api-gateway"),
    sections=(
        BridgeSettings,
        FeedSettings,
        DoubtSettings,
        StreamSettings,
        CalendarSettings,
    ),
    providers=providers,
    components=(
        SegmentHandover,
        TruthKeeper,
        DeviceLinks,
        SpoolGuard,
        SubscriptionGate,
        FanOut,
        Announcer,
        Calendars,
        RateKeeper,
        TickFlow,
        WebSocketServer,
    ),
    endpoints=(MarketDataEndpoints, ConnectionEndpoints),
    published=(PublishedRoute(path=STREAM_PATH, stream=True),),
)
