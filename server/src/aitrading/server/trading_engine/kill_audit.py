"""Brings engaged kill switches into the audit trail: engaging waits for no database, this does."""

import hashlib
from typing import Final
from uuid import UUID

from typing_extensions import override

from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.looping import LoopingComponent
from aitrading.core.kit.clock import NS_PER_MS, Clock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import TenantId, uuid7
from aitrading.server.kit.audit_actions import AuditAction
from aitrading.server.kit.audit_trail import AuditEvent, AuditTrail
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.trading_engine.kill_switch import Engagement, KillSwitches

LOOK_EVERY_S: Final = 1.0


class KillAudit(LoopingComponent):
    """Writes each engagement once, however often it must try and wherever it was interrupted."""

    def __init__(
        self,
        *,
        switches: KillSwitches,
        pool: PostgresPool,
        audit: AuditTrail,
        errors: ErrorHandler,
        clock: Clock,
    ) -> None:
        super().__init__("kill-audit", on_error=errors.classify)
        self.depends_on = (pool.name,)
        self._switches = switches
        self._pool = pool
        self._audit = audit
        self._errors = errors
        self._clock = clock

    @override
    async def start(self) -> None:
        """Look from now on; what an earlier life left is written first."""
        self._tasks.keep(self._look_for_ever, name="look", clock=self._clock)
        self._state = ComponentState.HEALTHY

    async def look(self) -> None:
        """Write what is missing; raises the reason when the database does not take it."""
        await self._switches.keep()
        for tenant, engagement in self._switches.not_audited():
            async with self._pool.tenant_tx(tenant) as tx:
                await self._audit.add_once(
                    tx,
                    _event(tenant, engagement),
                    event_id=_event_id(tenant, engagement),
                    occurred_ns=engagement.engaged_ns,
                )
            await self._switches.mark_audited(tenant)

    async def _look_for_ever(self) -> None:
        while True:
            try:
                await self.look()
            except (AitradingError, OSError) as exc:
                self._errors.classify(exc)
            await self._clock.sleep(LOOK_EVERY_S)


def _event(tenant: TenantId, engagement: Engagement) -> AuditEvent:
    by = engagement.engaged_by
    return AuditEvent(
        actor=by if ":" in by else f"user:{by}",
        action=AuditAction.KILL_ENGAGED,
        subject=f"tenant:{tenant}",
    )


def _event_id(tenant: TenantId, engagement: Engagement) -> UUID:
    """The same for the same engagement, so that a repeat is no second event."""
    chance = hashlib.sha256(tenant.bytes + engagement.engaged_ns.to_bytes(8, "big")).digest()
    return uuid7(engagement.engaged_ns // NS_PER_MS, chance[:10])
