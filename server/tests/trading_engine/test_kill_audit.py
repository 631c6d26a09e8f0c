"""An engaged kill switch reaches the audit trail once, whenever the database comes back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.resilience import ResilienceRegistry
from aitrading.core.kit.clock import SystemClock, datetime_of_ns
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import SystemIdFactory, TenantId
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.core.testing.manual_clock import ManualClock
from aitrading.server.engines.shared import PostgresServer
from aitrading.server.kit.audit_trail import AuditTrail
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.trading_engine.kill_audit import KillAudit
from aitrading.server.trading_engine.kill_switch import KillSwitches

pytestmark = pytest.mark.integration


@dataclass
class World:
    """The switches of one home and what brings them into the trail."""

    postgres: PostgresServer
    switches: KillSwitches
    audit: KillAudit
    tenant: TenantId

    def events(self) -> list[Any]:
        return self.postgres.as_superuser(
            f"SELECT actor, occurred_at, subject, security FROM audit.pending"  # noqa: S608
            f" WHERE tenant_id = '{self.tenant}' AND action = 'trading.kill.engaged'"
        )


@asynccontextmanager
async def world(postgres: PostgresServer, folder: Path) -> AsyncIterator[World]:
    clock = SystemClock()
    pool = PostgresPool(postgres.access("trading"), application="test-kill")
    switches = KillSwitches(folder, clock)
    errors = ErrorHandler(
        clock=clock,
        randomness=SystemRandomness(),
        metrics=Metrics(),
        resilience=ResilienceRegistry(),
    )
    ids = SystemIdFactory(clock, SystemRandomness())
    trail = AuditTrail(clock=clock, ids=ids)
    audit = KillAudit(switches=switches, pool=pool, audit=trail, errors=errors, clock=clock)
    await pool.start()
    try:
        yield World(postgres, switches, audit, TenantId(ids.new()))
    finally:
        await pool.stop()


@async_test
async def test_each_engagement_is_one_event_of_its_moment(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    async with world(postgres, tmp_path) as here:
        assert (await here.switches.engage(here.tenant, "host:admin")).audited is False
        await here.audit.start()
        try:
            await eventually(lambda: here.switches.not_audited() == [])
        finally:
            await here.audit.stop()
        engagement = here.switches.engagement(here.tenant)
        assert engagement is not None
        (event,) = here.events()
        assert (event["actor"], event["subject"]) == ("host:admin", f"tenant:{here.tenant}")
        assert event["security"]
        assert (
            abs((event["occurred_at"] - datetime_of_ns(engagement.engaged_ns)).total_seconds())
            < 1e-3
        )


@async_test
async def test_a_life_that_ended_between_commit_and_note_makes_no_second_event(
    postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(postgres, tmp_path) as here:
        await here.switches.engage(here.tenant, str(UUID(int=9)))

        async def dies(_tenant: TenantId) -> None:
            raise OSError("the power is gone")

        monkeypatch.setattr(here.switches, "mark_audited", dies)
        with pytest.raises(OSError, match="power"):
            await here.audit.look()
        next_life = KillSwitches(tmp_path, ManualClock())
        assert len(next_life.not_audited()) == 1
        here.audit._switches = next_life
        await here.audit.look()
        assert next_life.not_audited() == []
        assert await asyncio.to_thread(KillSwitches(tmp_path, ManualClock()).not_audited) == []
        (event,) = here.events()
        assert event["actor"].startswith("user:")


@async_test
async def test_a_disk_that_was_full_keeps_nothing_from_the_trail(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    async with world(postgres, tmp_path / "home") as here:
        (tmp_path / "home").rename(tmp_path / "away")
        with pytest.raises(FileNotFoundError):
            await here.switches.engage(here.tenant, "host:admin")
        with pytest.raises(FileNotFoundError):
            await here.audit.look()
        assert here.events() == []
        (tmp_path / "away").rename(tmp_path / "home")
        await here.audit.look()
        assert len(here.events()) == 1


@async_test
async def test_without_a_database_it_waits(postgres: PostgresServer, tmp_path: Path) -> None:
    async with world(postgres, tmp_path) as here:
        await here.switches.engage(here.tenant, "host:admin")
        await here.audit._pool.stop()
        with pytest.raises(AitradingError):
            await here.audit.look()
        assert len(here.switches.not_audited()) == 1
        await here.audit._pool.start()
        await here.audit.look()
        assert len(here.events()) == 1
