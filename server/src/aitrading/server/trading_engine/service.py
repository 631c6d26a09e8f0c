"""The composition root of the trading engine."""

from collections.abc import AsyncGenerator
from typing import Final

from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.event_bus import EventBus
from aitrading.core.infrastructure.health import HealthRegistry
from aitrading.core.infrastructure.import_manager import ImportManager
from aitrading.core.kit.clock import Clock
from aitrading.core.kit.ids import IdFactory
from aitrading.server.kit.audit_trail import AuditTrail
from aitrading.server.kit.bundle import ServiceBundle
from aitrading.server.kit.internal_client import InternalClient
from aitrading.server.kit.pool_reports import PoolReports
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.service_spec import ServiceSpec
from aitrading.server.kit.subscription_gate import (
    DatabaseServiceSubscriptions,
    SubscriptionGate,
    SubscriptionSource,
)
from aitrading.server.personal_data.service import field_keys_of
from aitrading.server.trading_engine.accounts import PostgresAccountBook
from aitrading.server.trading_engine.call_sites import SERVICE, SITES
from aitrading.server.trading_engine.device_gate import DeviceGate
from aitrading.server.trading_engine.endpoints import AccountBook, TradingEndpoints
from aitrading.server.trading_engine.feed_watch import FeedWatch
from aitrading.server.trading_engine.guard import EngineGuard
from aitrading.server.trading_engine.kill_audit import KillAudit
from aitrading.server.trading_engine.kill_switch import KillSwitches
from aitrading.server.trading_engine.trading_switch import TRADING, TradingSwitch, trading_health

DATABASE_ROLE: Final = "trading"
DATABASE: Final = "database-service"


def providers(manager: ImportManager) -> None:
    """What the trading engine is made of."""
    manager.provide(PoolReports)
    manager.provide(_pool)
    manager.provide(field_keys_of)
    manager.provide(_kill_switches)
    manager.provide(TradingSwitch)
    manager.provide(FeedWatch)
    manager.provide(PostgresAccountBook, provides=AccountBook)
    manager.provide(_subscriptions)
    manager.provide(_gate)
    manager.provide(DeviceGate)
    manager.provide(TradingEndpoints)
    manager.provide(_guard)
    manager.provide(AuditTrail)
    manager.provide(_kill_audit)


def _pool(bundle: ServiceBundle, reports: PoolReports) -> PostgresPool:
    return PostgresPool(bundle.postgres[DATABASE_ROLE], application=SERVICE, reports=reports)


def _kill_switches(bundle: ServiceBundle, clock: Clock) -> KillSwitches:
    return KillSwitches(bundle.home / "trading", clock)


async def _subscriptions(
    bundle: ServiceBundle, clock: Clock, ids: IdFactory
) -> AsyncGenerator[SubscriptionSource]:
    client = InternalClient.of(bundle, DATABASE, clock, ids)
    yield DatabaseServiceSubscriptions(client)
    await client.close()


def _gate(source: SubscriptionSource, bus: EventBus, clock: Clock) -> SubscriptionGate:
    return SubscriptionGate(source=source, bus=bus, clock=clock)


def _guard(
    bus: EventBus,
    pool: PostgresPool,
    feeds: FeedWatch,
    switch: TradingSwitch,
    errors: ErrorHandler,
    health: HealthRegistry,
    clock: Clock,
) -> EngineGuard:
    errors.declare(*SITES)
    health.probe(TRADING, lambda: trading_health(switch))
    return EngineGuard(bus=bus, pool=pool, feeds=feeds, switch=switch, errors=errors, clock=clock)


def _kill_audit(
    switches: KillSwitches,
    pool: PostgresPool,
    audit: AuditTrail,
    errors: ErrorHandler,
    clock: Clock,
) -> KillAudit:
    return KillAudit(switches=switches, pool=pool, audit=audit, errors=errors, clock=clock)


SPEC: Final = ServiceSpec(
    name=SERVICE,
    depends_on=("postgres", "nats", DATABASE),
    providers=providers,
    components=(PostgresPool, EngineGuard, SubscriptionGate, KillAudit),
    endpoints=(TradingEndpoints,),
)
