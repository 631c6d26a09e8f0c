"""What every service is made of, registered with its import manager."""

from contextlib import nullcontext
from typing import Any, Final

from aitrading.core.infrastructure.central_hub import CentralHub, HubSettings
from aitrading.core.infrastructure.chain_metrics import publish_chains
from aitrading.core.infrastructure.chain_registry import ChainRegistry
from aitrading.core.infrastructure.chain_reporter import ChainReporter
from aitrading.core.infrastructure.chains import ALL_CHAINS
from aitrading.core.infrastructure.config_manager import ConfigManager
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.error_reporter import ErrorReporter
from aitrading.core.infrastructure.event_bus import EventBus
from aitrading.core.infrastructure.health import HealthRegistry, publish_health
from aitrading.core.infrastructure.import_manager import ImportManager
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.resilience import ResilienceRegistry
from aitrading.core.infrastructure.service_registry import MemoryRegistryStore, RegistryStore
from aitrading.core.infrastructure.tenant_context import current_error_context
from aitrading.core.infrastructure.trace_reporter import TraceReporter
from aitrading.core.infrastructure.tracing import RequestTracer, TraceBacklog
from aitrading.core.kit.clock import Clock, SystemClock
from aitrading.core.kit.ids import IdFactory, SystemIdFactory
from aitrading.core.kit.randomness import Randomness, SystemRandomness
from aitrading.core.security.jwt_manager import JwtVerifier
from aitrading.server.kit.asgi import AppParts
from aitrading.server.kit.authentication import Authenticator
from aitrading.server.kit.bundle import NatsAccess, ServiceBundle
from aitrading.server.kit.bus_nats import NatsBus
from aitrading.server.kit.cache.in_process import InProcessCache
from aitrading.server.kit.cache.port import LIMITS, Cache
from aitrading.server.kit.cache.served import ServedCache
from aitrading.server.kit.denial_reporter import DenialReporter
from aitrading.server.kit.denials import Denials
from aitrading.server.kit.internal_client import InternalClient
from aitrading.server.kit.limit_levels import LimitLevels
from aitrading.server.kit.limit_settings import LimitSettings
from aitrading.server.kit.load_announcer import LoadAnnouncer
from aitrading.server.kit.load_meter import LoadMeter, StoreWaits
from aitrading.server.kit.nats_connection import NatsConnection
from aitrading.server.kit.rate_limits import RateLimits
from aitrading.server.kit.registry_nats import NatsRegistryStore
from aitrading.server.kit.revocation_feed import RevocationFeed
from aitrading.server.kit.revoked_tokens import RevokedTokens
from aitrading.server.kit.service_settings import ServiceSettings
from aitrading.server.kit.service_spec import COMMON_SECTIONS, ServiceSpec
from aitrading.server.kit.service_tokens import ServiceTokenSource, verifier_of
from aitrading.server.kit.state_announcer import StateAnnouncer
from aitrading.server.kit.step_up_settings import StepUpSettings
from aitrading.server.kit.store_settings import StoreSettings
from aitrading.server.kit.used_proofs import CachedUsedProofs, SharedCache, UsedProofs
from aitrading.server.kit.valkey import ValkeyClient

REVOCATION_SOURCE: Final = "api-gateway"


def graph_of(spec: ServiceSpec, bundle: ServiceBundle, config: ConfigManager) -> ImportManager:
    """The service's own providers, then the common ones that it did not bring itself."""
    manager = ImportManager()
    manager.value(ServiceBundle, bundle)
    manager.value(ConfigManager, config)
    manager.value(ServiceSpec, spec)
    for section in (*COMMON_SECTIONS, *spec.sections):
        _provide_section(manager, config, section)
    spec.providers(manager)
    if bundle.nats is not None:
        for part in spec.bus_components:
            manager.provide(part)
    common: dict[Any, Any] = _COMMON if bundle.nats is None else _COMMON | _OVER_NATS
    for provides, source in common.items():
        if not manager.knows(provides):
            manager.provide(source, provides=provides)
    return manager


def components_of(spec: ServiceSpec, bundle: ServiceBundle) -> tuple[type[Any], ...]:
    """What is started, in this order unless a component's own `depends_on` says otherwise."""
    if bundle.nats is None:
        return (*_COMPONENTS, *spec.components)
    return (*_COMPONENTS_OVER_NATS, *spec.components, *spec.bus_components)


def _provide_section(manager: ImportManager, config: ConfigManager, section: type[Any]) -> None:
    manager.provide(lambda: config.get(section), provides=section)


def _ids(clock: Clock, randomness: Randomness) -> IdFactory:
    return SystemIdFactory(clock, randomness)


def _errors(
    clock: Clock, randomness: Randomness, metrics: Metrics, resilience: ResilienceRegistry
) -> ErrorHandler:
    return ErrorHandler(
        clock=clock,
        randomness=randomness,
        metrics=metrics,
        resilience=resilience,
        context=current_error_context,
    )


def _health(
    bundle: ServiceBundle,
    clock: Clock,
    resilience: ResilienceRegistry,
    errors: ErrorHandler,
    metrics: Metrics,
) -> HealthRegistry:
    health = HealthRegistry(
        service=bundle.service,
        instance=bundle.instance,
        version=bundle.version,
        clock=clock,
        resilience=resilience,
        errors=errors,
    )
    publish_health(health, metrics)
    return health


def _chains(bundle: ServiceBundle, clock: Clock, metrics: Metrics) -> ChainRegistry:
    registry = ChainRegistry(clock=clock, service=bundle.service, instance=bundle.instance)
    registry.define(*ALL_CHAINS)
    publish_chains(registry, metrics)
    return registry


def _hub(
    store: RegistryStore,
    clock: Clock,
    config: ConfigManager,
    errors: ErrorHandler,
    chains: ChainRegistry,
    settings: ServiceSettings,
    bundle: ServiceBundle,
) -> CentralHub:
    return CentralHub(
        store=store,
        clock=clock,
        config=config,
        errors=errors,
        chains=chains,
        settings=HubSettings(lease_s=settings.lease_s),
        depends_on=("nats",) if bundle.nats else (),
    )


def _authenticator(
    bundle: ServiceBundle,
    verifier: JwtVerifier,
    proofs: UsedProofs,
    clock: Clock,
    denials: Denials,
    ended: RevokedTokens,
) -> Authenticator:
    return Authenticator(
        bundle.service, verifier, proofs, clock=clock, denials=denials, revocations=ended
    )


def _denials(
    bundle: ServiceBundle, clock: Clock, ids: IdFactory, randomness: Randomness
) -> Denials:
    return Denials(bundle.service, clock=clock, ids=ids, randomness=randomness)


def _used_proofs(shared: SharedCache, errors: ErrorHandler, clock: Clock) -> UsedProofs:
    return CachedUsedProofs(shared, errors=errors, clock=clock)


def _app_parts(  # noqa: PLR0913, PLR0917 - an application is made of all this
    bundle: ServiceBundle,
    authenticator: Authenticator,
    health: HealthRegistry,
    metrics: Metrics,
    clock: Clock,
    ids: IdFactory,
    errors: ErrorHandler,
    limits: RateLimits,
    tracer: RequestTracer,
    config: ConfigManager,
) -> AppParts:
    return AppParts(
        service=bundle.service,
        authenticator=authenticator,
        health=health,
        metrics=metrics,
        clock=clock,
        ids=ids,
        limits=limits,
        tracer=tracer,
        step_up=lambda: config.get(StepUpSettings),
        on_error=errors.classify,
    )


def _shared_cache(
    bundle: ServiceBundle, config: ConfigManager, clock: Clock, ids: IdFactory
) -> SharedCache:
    """In the cache where the installation has one."""
    alone = Cache(LIMITS, InProcessCache(clock), clock, ids)
    if bundle.valkey is None or config.get(StoreSettings).postgres_alone:
        return SharedCache(together=alone, alone=alone, client=None)
    client = ValkeyClient(bundle.valkey)
    together = Cache(LIMITS, ServedCache(client, nullcontext), clock, ids)
    return SharedCache(together=together, alone=alone, client=client)


def _load(
    stores: StoreWaits, metrics: Metrics, clock: Clock, resilience: ResilienceRegistry
) -> LoadMeter:
    """What it does to limits is shown among the guards."""
    return resilience.add(LoadMeter(stores, metrics=metrics, clock=clock))


def _limits(
    shared: SharedCache,
    config: ConfigManager,
    errors: ErrorHandler,
    metrics: Metrics,
    clock: Clock,
    load: LoadMeter,
) -> RateLimits:
    """Counted in the cache where the installation has one; closes it in the end."""
    return RateLimits(
        shared.together,
        shared.alone,
        levels=LimitLevels(lambda: config.get(LimitSettings), load=load),
        client=shared.client,
        errors=errors,
        metrics=metrics,
        clock=clock,
    )


def _nats(
    access: NatsAccess, bundle: ServiceBundle, clock: Clock, errors: ErrorHandler
) -> NatsConnection:
    return NatsConnection(access, bundle.tls, clock=clock, errors=errors)


def _nats_access(bundle: ServiceBundle) -> NatsAccess:
    assert bundle.nats is not None  # noqa: S101 - registered only when the bundle names NATS
    return bundle.nats


def _tracer(bundle: ServiceBundle, clock: Clock, ids: IdFactory) -> RequestTracer:
    """Records only where a bus takes it to the collector."""
    backlog = None if bundle.nats is None else TraceBacklog()
    return RequestTracer(service=bundle.service, clock=clock, ids=ids, backlog=backlog)


def _trace_reporter(
    bus: EventBus, tracer: RequestTracer, clock: Clock, errors: ErrorHandler, metrics: Metrics
) -> TraceReporter:
    return TraceReporter(bus, tracer, clock=clock, errors=errors, metrics=metrics)


def _bus(
    connection: NatsConnection,
    clock: Clock,
    ids: IdFactory,
    errors: ErrorHandler,
    tracer: RequestTracer,
) -> NatsBus:
    return NatsBus(connection, clock=clock, ids=ids, errors=errors, tracer=tracer)


def _event_bus(bus: NatsBus) -> EventBus:
    return bus


def _nats_store(connection: NatsConnection) -> RegistryStore:
    return NatsRegistryStore(connection)


def _reporter(
    bus: EventBus, chains: ChainRegistry, clock: Clock, errors: ErrorHandler, spec: ServiceSpec
) -> ChainReporter:
    return ChainReporter(bus, chains, clock=clock, errors=errors, merges=spec.merges_chains)


def _error_reporter(
    bus: EventBus, errors: ErrorHandler, clock: Clock, bundle: ServiceBundle
) -> ErrorReporter:
    return ErrorReporter(
        bus, errors, clock=clock, service=bundle.service, instance=bundle.instance
    )


def _announcer(
    bus: EventBus, health: HealthRegistry, clock: Clock, errors: ErrorHandler
) -> StateAnnouncer:
    return StateAnnouncer(bus, health, clock=clock, errors=errors)


def _load_announcer(
    bus: EventBus, meter: LoadMeter, bundle: ServiceBundle, clock: Clock, errors: ErrorHandler
) -> LoadAnnouncer:
    return LoadAnnouncer(bus, meter, bundle, clock=clock, errors=errors)


def _revocation_feed(
    bus: EventBus,
    revoked: RevokedTokens,
    bundle: ServiceBundle,
    clock: Clock,
    ids: IdFactory,
    metrics: Metrics,
) -> RevocationFeed:
    """Every service but the source itself can ask it."""
    source = None
    if REVOCATION_SOURCE in bundle.peers:
        source = InternalClient.of(bundle, REVOCATION_SOURCE, clock, ids)
    return RevocationFeed(bus, revoked, source, clock=clock, metrics=metrics)


_COMMON: dict[Any, Any] = {
    Clock: SystemClock,
    Randomness: SystemRandomness,
    IdFactory: _ids,
    Metrics: Metrics,
    ResilienceRegistry: ResilienceRegistry,
    ErrorHandler: _errors,
    HealthRegistry: _health,
    ChainRegistry: _chains,
    RegistryStore: MemoryRegistryStore,
    CentralHub: _hub,
    JwtVerifier: verifier_of,
    ServiceTokenSource: ServiceTokenSource.of,
    RevokedTokens: RevokedTokens,
    Denials: _denials,
    Authenticator: _authenticator,
    SharedCache: _shared_cache,
    UsedProofs: _used_proofs,
    StoreWaits: StoreWaits,
    LoadMeter: _load,
    RateLimits: _limits,
    RequestTracer: _tracer,
    AppParts: _app_parts,
}
_OVER_NATS: dict[Any, Any] = {
    NatsAccess: _nats_access,
    NatsConnection: _nats,
    NatsBus: _bus,
    EventBus: _event_bus,
    RegistryStore: _nats_store,
    ChainReporter: _reporter,
    ErrorReporter: _error_reporter,
    TraceReporter: _trace_reporter,
    DenialReporter: DenialReporter,
    StateAnnouncer: _announcer,
    LoadAnnouncer: _load_announcer,
    RevocationFeed: _revocation_feed,
}
_COMPONENTS: tuple[type[Any], ...] = (CentralHub, LoadMeter, RateLimits)
_COMPONENTS_OVER_NATS: tuple[type[Any], ...] = (
    NatsConnection,
    NatsBus,
    CentralHub,
    ChainReporter,
    ErrorReporter,
    TraceReporter,
    DenialReporter,
    StateAnnouncer,
    RevocationFeed,
    LoadMeter,
    LoadAnnouncer,
    RateLimits,
)
