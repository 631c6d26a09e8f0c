"""The audit trail is read page by page, by whom it belongs to, and changed by nobody."""

from datetime import timedelta
from importlib.resources import files
from typing import Any

import pytest

from aitrading.core.kit.clock import NS_PER_S, now_utc
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import SystemIdFactory, TenantId
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.manual_clock import ManualClock
from aitrading.server.database_service.audit.trail import AuditGauge, AuditQuestion, AuditReader
from aitrading.server.engines.shared import PostgresServer
from aitrading.server.kit.audit_actions import AuditAction
from aitrading.server.kit.audit_api import AuditSize
from aitrading.server.kit.audit_trail import AuditEvent, AuditTrail, Outcome
from aitrading.server.supervisor.doctor.audit import LARGE_BYTES, OLD_DAYS, judge
from aitrading.server.supervisor.doctor.finding import Verdict

pytestmark = pytest.mark.integration
Tenants = tuple[TenantId, TenantId]
FROM_BEFORE = 16
"""Security actions that there were before the trail could be read."""
ACTIONS = (AuditAction.CHAIN_SAVED, AuditAction.SESSION_OPENED, AuditAction.LOGIN_REFUSED)


async def fill(world: Any, clock: ManualClock, tenant: TenantId, number: int) -> None:
    """Events a second apart, of each kind in turn."""
    trail = AuditTrail(clock=clock, ids=SystemIdFactory(clock, SystemRandomness()))
    async with world.pool.tenant_tx(tenant) as tx:
        for count in range(number):
            await clock.advance(1)
            event = AuditEvent(
                actor="host:admin",
                action=ACTIONS[count % len(ACTIONS)],
                subject=f"session:{count}",
                details={"count": count},
            )
            await trail.add(tx, event)


async def walk(reader: AuditReader, tenant: TenantId, **asked: Any) -> list[str]:
    """The subjects of every page, from the newest event to the oldest."""
    question, subjects = AuditQuestion(**asked), list[str]()
    while True:
        page = await reader.page(tenant, question)
        subjects += [entry.subject for entry in page.items]
        if page.next_cursor is None:
            return subjects
        assert len(page.items) == question.limit
        question = AuditQuestion(**{**asked, "before": page.next_cursor})


@async_test
async def test_pages_go_back_in_time_and_hold_everything_once(
    world: Any, tenants: Tenants
) -> None:
    alpha, beta = tenants
    async with world() as w:
        clock, reader = ManualClock(), AuditReader(w.pool, w.guards)
        began = now_utc(clock)
        await fill(w, clock, alpha, 9)
        await fill(w, clock, beta, 2)
        every = [f"session:{count}" for count in reversed(range(9))]
        assert await walk(reader, alpha, limit=4) == every
        assert await walk(reader, alpha, limit=3) == every
        secure = [subject for subject in every if int(subject[8:]) % 3]
        assert await walk(reader, alpha, limit=4, security_only=True) == secure
        refused = await walk(reader, alpha, limit=2, action=AuditAction.LOGIN_REFUSED)
        assert refused == every[0::3]
        window = {
            "since": began + timedelta(seconds=3),
            "until": began + timedelta(seconds=6),
        }
        assert await walk(reader, alpha, limit=2, **window) == every[4:7]
        assert len(await walk(reader, beta, limit=50)) == 2


@async_test
async def test_whatever_was_denied_is_a_security_event(world: Any, tenants: Tenants) -> None:
    alpha, _ = tenants
    async with world() as w:
        clock, reader = ManualClock(), AuditReader(w.pool, w.guards)
        trail = AuditTrail(clock=clock, ids=SystemIdFactory(clock, SystemRandomness()))
        async with w.pool.tenant_tx(alpha) as tx:
            for outcome in (Outcome.DENIED, Outcome.FAILED):
                event = AuditEvent(
                    actor="host:admin",
                    action=AuditAction.CHAIN_SAVED,
                    subject=str(outcome),
                    outcome=outcome,
                )
                await trail.add(tx, event)
        assert await walk(reader, alpha, limit=5, security_only=True) == ["denied"]


@async_test
async def test_who_reads_the_trail_cannot_change_it(world: Any, tenants: Tenants) -> None:
    alpha, _ = tenants
    async with world() as w:
        for statement in (
            "DELETE FROM audit.pending",
            "DELETE FROM audit.audit_logs",
            "UPDATE audit.security_events SET outcome = 'done'",
            "INSERT INTO audit.audit_logs (id) VALUES (gen_random_uuid())",
        ):
            with pytest.raises(AitradingError) as refused:
                async with w.pool.tenant_tx(alpha) as tx:
                    await tx.execute(statement)
            assert refused.value.code == "DATABASE_NOT_PERMITTED", statement


@async_test
async def test_size_and_age_are_those_of_every_organisation(
    world: Any, tenants: Tenants, postgres: PostgresServer
) -> None:
    alpha, _ = tenants
    postgres.as_superuser(
        "INSERT INTO identity.tenants (id, name, created_at)"  # noqa: S608
        f" VALUES ('{alpha}', 'audit-age', now()) ON CONFLICT DO NOTHING"
    )
    async with world() as w:
        early = ManualClock(start_ns=1_000_000_000 * NS_PER_S)  # before any other test's
        await fill(w, early, alpha, 2)
        later = ManualClock(start_ns=(1_000_000_000 + 400 * 86_400) * NS_PER_S)
        size = await AuditGauge(w.pool, later).size()
        assert size.age_days == 399
        assert size.bytes > 0
        assert judge(size).verdict is Verdict.OK


@pytest.mark.parametrize(
    ("taken_bytes", "age_days", "verdict"),
    [
        (LARGE_BYTES - 1, OLD_DAYS, Verdict.OK),
        (LARGE_BYTES, 0, Verdict.PROBLEM),
        (0, OLD_DAYS + 1, Verdict.PROBLEM),
    ],
)
def test_the_doctor_warns_of_a_large_or_old_trail(
    taken_bytes: int, age_days: int, verdict: Verdict
) -> None:
    size = AuditSize(bytes=taken_bytes, rows_estimated=7, oldest_at=None, age_days=age_days)
    finding = judge(size)
    assert finding.verdict is verdict
    assert bool(finding.remedy) == (verdict is Verdict.PROBLEM)


def test_who_only_writes_the_trail_cannot_read_it(postgres: PostgresServer) -> None:
    allowed = postgres.as_superuser(
        "SELECT r.name, v.name AS object FROM unnest(ARRAY['identity', 'trading']) AS r(name),"
        " unnest(ARRAY['audit.pending', 'audit.audit_logs', 'audit.security_events']) AS v(name)"
        " WHERE has_any_column_privilege(r.name, v.name, 'SELECT')"
    )
    assert not allowed


def test_events_from_before_are_classified_as_they_would_be_now() -> None:
    """The migration is final and its list was whole: each of its actions keeps its meaning."""
    folder = files("aitrading.server.database_service") / "migrations" / "postgres"
    text = (folder / "0067_audit_read.sql").read_text()
    listed = {action for action in AuditAction if f"'{action}'" in text}
    assert len(listed) == FROM_BEFORE
    assert all(action.is_security for action in listed)
