"""Settings that one organisation was granted: audited, seen by every instance, kept in an outage."""

from typing import Any
from uuid import UUID

import pytest

from aitrading.core.infrastructure.config_manager import ConfigManager
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import SystemIdFactory, TenantId
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.manual_clock import ManualClock
from aitrading.server.database_service.settings import GuardSettings, ReadSettings
from aitrading.server.database_service.tenant_settings.book import SettingsBook
from aitrading.server.engines.shared import PostgresServer
from aitrading.server.kit.audit_trail import AuditTrail
from aitrading.server.kit.replay import Replay
from aitrading.server.kit.tenant_settings import REFRESH_S, TenantSettings

pytestmark = pytest.mark.integration
SETTING = "reads.pages_per_minute"
HOST = "host:admin"
Tenants = tuple[TenantId, TenantId]


def parts(world: Any, clock: ManualClock) -> tuple[SettingsBook, TenantSettings]:
    """What one instance of the service has of it."""
    config = ConfigManager.load([ReadSettings, GuardSettings])
    settings = TenantSettings(world.pool, config, clock)
    ids = SystemIdFactory(clock, SystemRandomness())
    return SettingsBook(
        world.pool,
        Replay(world.pool, world.errors, ids),
        config,
        settings,
        world.guards,
        clock,
        ids,
        AuditTrail(clock=clock, ids=ids),
    ), settings


async def pages(settings: TenantSettings, tenant: TenantId) -> int:
    return (await settings.of(tenant, ReadSettings)).pages_per_minute


@async_test
async def test_another_instance_follows_within_the_promised_time(
    world: Any, tenants: Tenants
) -> None:
    alpha, beta = tenants
    async with world() as w:
        clock = ManualClock()
        (book, here), (_, there) = parts(w, clock), parts(w, clock)
        usual = ReadSettings().pages_per_minute
        assert await pages(there, alpha) == usual
        await book.grant(alpha, SETTING, 7, HOST)
        assert [await pages(each, alpha) for each in (here, there)] == [7, usual]
        await clock.advance(REFRESH_S + 1)
        assert await pages(there, alpha) == 7
        assert await pages(there, beta) == usual
        await book.take_back(alpha, SETTING, HOST)
        await clock.advance(REFRESH_S + 1)
        assert [await pages(each, alpha) for each in (here, there)] == [usual, usual]


@async_test
async def test_every_change_leaves_an_audit_event(
    world: Any, tenants: Tenants, postgres: PostgresServer
) -> None:
    alpha, _ = tenants
    async with world() as w:
        clock = ManualClock()
        book, _ = parts(w, clock)
        await book.grant(alpha, SETTING, 7, HOST)
        await clock.advance(1)  # ids of one millisecond have no order
        await book.take_back(alpha, SETTING, HOST)
        with pytest.raises(AitradingError) as refused:
            await book.take_back(alpha, SETTING, HOST)
        assert refused.value.code == "TENANT_SETTING_UNKNOWN"
    rows = postgres.as_superuser(
        "SELECT action, subject, actor FROM audit.pending"  # noqa: S608
        f" WHERE tenant_id = '{UUID(int=alpha.int)}' ORDER BY id"
    )
    told = [(row["action"], row["subject"], row["actor"]) for row in rows]
    subject = f"setting:{SETTING}"
    assert told == [("settings.granted", subject, HOST), ("settings.taken_back", subject, HOST)]


@async_test
async def test_the_last_known_values_hold_while_the_store_is_away(
    world: Any, tenants: Tenants
) -> None:
    alpha, beta = tenants
    async with world() as w:
        clock = ManualClock()
        book, settings = parts(w, clock)
        await book.grant(alpha, SETTING, 7, HOST)
        await w.pool.stop()
        await clock.advance(REFRESH_S + 1)
        assert await pages(settings, alpha) == 7
        assert await pages(settings, beta) == ReadSettings().pages_per_minute


@async_test
async def test_a_value_that_became_wrong_is_not_used(
    world: Any, tenants: Tenants, postgres: PostgresServer
) -> None:
    alpha, _ = tenants
    async with world() as w:
        book, settings = parts(w, ManualClock())
        await book.grant(alpha, SETTING, 7, HOST)
        postgres.as_superuser(
            "UPDATE app.tenant_settings SET value = '-1'"  # noqa: S608
            f" WHERE tenant_id = '{UUID(int=alpha.int)}'"
        )
        _, fresh = parts(w, ManualClock())
        assert await pages(fresh, alpha) == ReadSettings().pages_per_minute
        assert await pages(settings, alpha) == 7
