"""The composition root of the api-gateway: identity, the edge's files, health, pages."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from typing import Final

from starlette.routing import BaseRoute

from aitrading.core.infrastructure.central_hub import CentralHub
from aitrading.core.infrastructure.config_manager import ConfigManager
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.event_bus import EventBus
from aitrading.core.infrastructure.health import HealthRegistry
from aitrading.core.infrastructure.import_manager import Container, ImportManager
from aitrading.core.infrastructure.service_registry import PublishedRoute, RouteAccess
from aitrading.core.kit.clock import Clock
from aitrading.core.kit.ids import IdFactory
from aitrading.core.kit.randomness import Randomness
from aitrading.server.api_gateway.call_sites import PASSWORD_HASHING
from aitrading.server.api_gateway.connections.directory import ConnectionDirectory
from aitrading.server.api_gateway.connections.endpoints import ConnectionEndpoints
from aitrading.server.api_gateway.denials import DenialRecorder
from aitrading.server.api_gateway.edge.assembly import BRIDGE, GATEWAY, RegisteredEdge
from aitrading.server.api_gateway.edge.keeper import EdgeKeeper
from aitrading.server.api_gateway.edge.key_rotation import EdgeKeyEndpoints
from aitrading.server.api_gateway.edge.refused import RefusedAtEdge
from aitrading.server.api_gateway.edge.site_endpoints import SiteEndpoints, site_health
from aitrading.server.api_gateway.health.collector import PlatformHealth
from aitrading.server.api_gateway.health.endpoints import HealthEndpoints
from aitrading.server.api_gateway.health.sources import PeerSource, SupervisorSource
from aitrading.server.api_gateway.identity.admin_endpoints import AdminEndpoints
from aitrading.server.api_gateway.identity.api_key_endpoints import ApiKeyEndpoints
from aitrading.server.api_gateway.identity.composition import Identity, IdentityParts
from aitrading.server.api_gateway.identity.device_endpoints import DeviceEndpoints
from aitrading.server.api_gateway.identity.device_note_endpoints import DeviceNoteEndpoints
from aitrading.server.api_gateway.identity.device_report_endpoints import DeviceReportEndpoints
from aitrading.server.api_gateway.identity.device_settings_endpoints import (
    DeviceSettingsEndpoints,
)
from aitrading.server.api_gateway.identity.factor_endpoints import FactorEndpoints
from aitrading.server.api_gateway.identity.field_key_endpoints import FieldKeyEndpoints
from aitrading.server.api_gateway.identity.housekeeping import Housekeeping
from aitrading.server.api_gateway.identity.key_endpoints import KeyEndpoints
from aitrading.server.api_gateway.identity.login_endpoints import LoginEndpoints
from aitrading.server.api_gateway.identity.own_endpoints import OwnEndpoints
from aitrading.server.api_gateway.identity.refusals import Refusals
from aitrading.server.api_gateway.identity.revocations import Revocations
from aitrading.server.api_gateway.identity.rules_endpoints import RulesEndpoints
from aitrading.server.api_gateway.identity.subscription_endpoints import (
    SubscriptionAdminEndpoints,
)
from aitrading.server.api_gateway.identity.tenant_endpoints import TenantEndpoints
from aitrading.server.api_gateway.identity.token_keys import EdgeProbe, TokenKeys
from aitrading.server.api_gateway.identity.vault_admin_endpoints import VaultAdminEndpoints
from aitrading.server.api_gateway.identity.vault_endpoints import VaultEndpoints
from aitrading.server.api_gateway.overloads import Overloads
from aitrading.server.api_gateway.settings import GatewaySettings
from aitrading.server.api_gateway.viewer import TerminalViewer
from aitrading.server.authority.installation import Authority, initialise
from aitrading.server.authority.passwords import hashing_bulkhead
from aitrading.server.dashboard.api_document import ApiDocument
from aitrading.server.dashboard.pages import Pages
from aitrading.server.kit.asgi import AppParts
from aitrading.server.kit.audit_trail import AuditTrail
from aitrading.server.kit.authentication import Authenticator
from aitrading.server.kit.bundle import ServiceBundle
from aitrading.server.kit.internal_client import InternalClient
from aitrading.server.kit.log_tail import EDGE_LOG, LogTail
from aitrading.server.kit.login_settings import LoginSettings
from aitrading.server.kit.pool_reports import PoolReports
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.replay import Replay
from aitrading.server.kit.revoked_tokens import RevokedTokens
from aitrading.server.kit.service_spec import ServiceSpec
from aitrading.server.personal_data.file_keys import file_key_folder_of
from aitrading.server.personal_data.keys import FieldKeys
from aitrading.server.personal_data.service import field_keys_of, masters_of

DATABASE_ROLE: Final = "identity"
STORE: Final = "database-service"
_MS_PER_S: Final = 1_000


def providers(manager: ImportManager) -> None:
    """What the api-gateway is made of."""
    manager.provide(PoolReports)
    manager.provide(_pool)
    manager.provide(Replay)
    manager.provide(_authority)
    manager.provide(field_keys_of)
    manager.provide(masters_of)
    manager.provide(file_key_folder_of)
    manager.provide(AuditTrail)
    manager.provide(FieldKeyEndpoints)
    manager.provide(_identity)
    manager.provide(_revocations)
    manager.provide(_housekeeping)
    manager.provide(_login_endpoints)
    manager.provide(_factor_endpoints)
    manager.provide(_key_endpoints)
    manager.provide(_own_endpoints)
    manager.provide(_api_key_endpoints)
    manager.provide(_rules_endpoints)
    manager.provide(_device_endpoints)
    manager.provide(_vault_endpoints)
    manager.provide(_vault_admin_endpoints)
    manager.provide(_report_endpoints)
    manager.provide(_device_settings_endpoints)
    manager.provide(_device_note_endpoints)
    manager.provide(_admin_endpoints)
    manager.provide(_subscription_endpoints)
    manager.provide(_connection_directory)
    manager.provide(_connection_endpoints)
    manager.provide(_tenant_endpoints)
    manager.provide(_token_keys)
    manager.provide(EdgeKeyEndpoints)
    manager.provide(_site_endpoints)
    manager.provide(_edge)
    manager.provide(_refused_at_edge)
    manager.provide(_overloads)
    manager.provide(DenialRecorder)
    manager.provide(_platform_health)
    manager.provide(HealthEndpoints)


async def pages(container: Container) -> Sequence[BaseRoute]:
    """The terminal, the login, the API's description, and static files."""
    identity = await container.get(Identity)
    viewer = TerminalViewer(
        await container.get(Authenticator),
        identity.sessions,
        await container.get(PostgresPool),
        await container.get(PlatformHealth),
    )
    bundle = await container.get(ServiceBundle)
    return Pages(viewer=viewer.view, document=ApiDocument.load(), demo=bundle.demo).routes()


def _pool(bundle: ServiceBundle, reports: PoolReports) -> PostgresPool:
    return PostgresPool(bundle.postgres[DATABASE_ROLE], application=GATEWAY, reports=reports)


def _authority(bundle: ServiceBundle, clock: Clock, ids: IdFactory) -> Authority:
    return initialise(bundle.home, clock, ids, environment=bundle.environment)


def _identity(  # noqa: PLR0913, PLR0917 - the container passes each by its type
    replay: Replay,
    authority: Authority,
    field_keys: FieldKeys,
    bus: EventBus,
    ended: RevokedTokens,
    errors: ErrorHandler,
    randomness: Randomness,
    app: AppParts,
    settings: GatewaySettings,
    config: ConfigManager,
) -> Identity:
    return Identity(
        IdentityParts(
            replay=replay,
            authority=authority,
            hashing=errors.guard(PASSWORD_HASHING, hashing_bulkhead()),
            bus=bus,
            ended=ended,
            authenticator=app.authenticator,
            on_error=errors.classify,
            clock=app.clock,
            ids=app.ids,
            randomness=randomness,
            field_keys=field_keys,
            hosts=settings.hosts,
            login_settings=lambda tenant: config.get_for(tenant, LoginSettings),
        )
    )


def _revocations(identity: Identity) -> Revocations:
    return identity.revocations


def _housekeeping(identity: Identity) -> Housekeeping:
    return identity.housekeeping


def _login_endpoints(identity: Identity) -> LoginEndpoints:
    return identity.login_endpoints


def _factor_endpoints(identity: Identity) -> FactorEndpoints:
    return identity.factor_endpoints


def _key_endpoints(identity: Identity) -> KeyEndpoints:
    return identity.key_endpoints


def _rules_endpoints(identity: Identity) -> RulesEndpoints:
    return identity.rules_endpoints


def _api_key_endpoints(identity: Identity) -> ApiKeyEndpoints:
    return identity.api_key_endpoints


def _own_endpoints(identity: Identity) -> OwnEndpoints:
    return identity.own_endpoints


def _vault_endpoints(identity: Identity) -> VaultEndpoints:
    return identity.vault_endpoints


def _vault_admin_endpoints(identity: Identity) -> VaultAdminEndpoints:
    return identity.vault_admin_endpoints


def _report_endpoints(identity: Identity) -> DeviceReportEndpoints:
    return identity.report_endpoints


def _device_settings_endpoints(identity: Identity) -> DeviceSettingsEndpoints:
    return identity.device_settings_endpoints


async def _device_note_endpoints(
    bundle: ServiceBundle, identity: Identity, clock: Clock, ids: IdFactory
) -> AsyncIterator[DeviceNoteEndpoints]:
    client = InternalClient.of(bundle, STORE, clock, ids)
    yield DeviceNoteEndpoints(identity.signed_requests, client)
    await client.close()


def _device_endpoints(identity: Identity) -> DeviceEndpoints:
    return identity.device_endpoints


def _admin_endpoints(identity: Identity) -> AdminEndpoints:
    return AdminEndpoints(identity.administration, identity.login, identity.devices)


def _subscription_endpoints(identity: Identity) -> SubscriptionAdminEndpoints:
    return SubscriptionAdminEndpoints(identity.subscriptions, identity.administration)


async def _connection_directory(
    bundle: ServiceBundle,
    identity: Identity,
    replay: Replay,
    audit: AuditTrail,
    clock: Clock,
    ids: IdFactory,
) -> AsyncIterator[ConnectionDirectory]:
    client = InternalClient.of(bundle, BRIDGE, clock, ids)
    yield ConnectionDirectory(
        client,
        devices=identity.devices,
        administration=identity.administration,
        replay=replay,
        audit=audit,
    )
    await client.close()


def _connection_endpoints(
    directory: ConnectionDirectory, identity: Identity
) -> ConnectionEndpoints:
    return ConnectionEndpoints(directory, identity.administration)


def _tenant_endpoints(identity: Identity) -> TenantEndpoints:
    return TenantEndpoints(identity.tenant_life)


def _token_keys(
    bundle: ServiceBundle,
    settings: GatewaySettings,
    authority: Authority,
    identity: Identity,
    replay: Replay,
    audit: AuditTrail,
    clock: Clock,
    errors: ErrorHandler,
) -> TokenKeys:
    return TokenKeys(
        authority,
        identity.issuer,
        EdgeProbe(settings.hosts[0], settings.port, bundle.home / "trust" / "edge-ca.pem"),
        replay=replay,
        audit=audit,
        clock=clock,
        on_error=errors.classify,
    )


def _edge(
    bundle: ServiceBundle,
    settings: GatewaySettings,
    authority: Authority,
    hub: CentralHub,
    clock: Clock,
    errors: ErrorHandler,
    health: HealthRegistry,
) -> EdgeKeeper:
    health.probe("site-certificate", lambda: site_health(authority.site.current(), clock.now_ns()))
    return EdgeKeeper(
        RegisteredEdge(bundle, settings, hub.services, authority.site.current),
        authority.issue_edge,
        follow=hub.subscribe,
        clock=clock,
        errors=errors,
    )


def _site_endpoints(
    authority: Authority,
    settings: GatewaySettings,
    keeper: EdgeKeeper,
    replay: Replay,
    audit: AuditTrail,
    clock: Clock,
) -> SiteEndpoints:
    return SiteEndpoints(authority.site, settings, keeper, replay, audit, clock)


def _refused_at_edge(
    bundle: ServiceBundle,
    pool: PostgresPool,
    audit: AuditTrail,
    clock: Clock,
    randomness: Randomness,
    errors: ErrorHandler,
) -> RefusedAtEdge:
    """With a fold of its own: a flood at the edge leaves the shares of refused logins alone."""
    refusals = Refusals(pool, audit=audit, clock=clock, randomness=randomness)
    tail = LogTail(bundle.home / EDGE_LOG)
    return RefusedAtEdge(tail, refusals.note, clock=clock, on_error=errors.classify)


def _overloads(
    bundle: ServiceBundle, bus: EventBus, pool: PostgresPool, audit: AuditTrail, clock: Clock
) -> Overloads:
    services = {GATEWAY, *bundle.peers}
    return Overloads(bus, pool, audit=audit, services=services, clock=clock)


async def _platform_health(
    bundle: ServiceBundle,
    settings: GatewaySettings,
    own: HealthRegistry,
    hub: CentralHub,
    clock: Clock,
    ids: IdFactory,
    errors: ErrorHandler,
) -> AsyncIterator[PlatformHealth]:
    async with AsyncExitStack() as stack:
        peers: list[PeerSource] = []
        for name in sorted(bundle.peers):
            client = InternalClient.of(bundle, name, clock, ids)
            stack.push_async_callback(client.close)
            peers.append(PeerSource(name, client, clock=clock, errors=errors))
        yield PlatformHealth(
            peers,
            SupervisorSource(bundle.home / "run" / "state.json"),
            own=own,
            hub=hub,
            clock=clock,
            errors=errors,
            period_s=settings.health_period_ms / _MS_PER_S,
        )


SPEC: Final = ServiceSpec(
    name=GATEWAY,
    depends_on=("postgres", "nats", "database-service"),
    sections=(GatewaySettings, LoginSettings),
    providers=providers,
    components=(
        PostgresPool,
        Revocations,
        Housekeeping,
        EdgeKeeper,
        RefusedAtEdge,
        Overloads,
        DenialRecorder,
        PlatformHealth,
    ),
    endpoints=(
        LoginEndpoints,
        FactorEndpoints,
        KeyEndpoints,
        OwnEndpoints,
        ApiKeyEndpoints,
        RulesEndpoints,
        Revocations,
        TokenKeys,
        EdgeKeyEndpoints,
        SiteEndpoints,
        DeviceEndpoints,
        VaultEndpoints,
        VaultAdminEndpoints,
        DeviceReportEndpoints,
        DeviceSettingsEndpoints,
        DeviceNoteEndpoints,
        AdminEndpoints,
        SubscriptionAdminEndpoints,
        TenantEndpoints,
        FieldKeyEndpoints,
        ConnectionEndpoints,
        HealthEndpoints,
    ),
    pages=pages,
    published=tuple(
        PublishedRoute(path=path, below=path == "/static", access=RouteAccess.PUBLIC, timeout_s=5)
        for path in ("/", "/login", "/docs", "/openapi.json", "/static", "/health/live")
    ),
    merges_chains=True,
)
