"""Services that the host admitted or dismissed, as events of the platform's own audit trail."""

from typing import Final

from aitrading.server.authority.installation import ADMIN_SERVICE
from aitrading.server.kit.audit_actions import AuditAction
from aitrading.server.kit.audit_api import SERVICE_CHANGES_PATH, ServiceChange
from aitrading.server.kit.audit_trail import HOST_ACTOR, AuditEvent, AuditTrail
from aitrading.server.kit.call import Call
from aitrading.server.kit.endpoints import endpoint, peers
from aitrading.server.kit.postgres import PostgresPool

HOST: Final = peers(ADMIN_SERVICE)


class ServiceChangeEndpoints:
    """Takes what the supervisor noted."""

    def __init__(self, pool: PostgresPool, audit: AuditTrail) -> None:
        self._pool = pool
        self._audit = audit

    @endpoint("POST", SERVICE_CHANGES_PATH, access=HOST, body=ServiceChange)
    async def changed(self, call: Call) -> None:
        """Audit that a service was admitted or dismissed; a repeat changes nothing."""
        await self.note(await call.json(ServiceChange))

    async def note(self, change: ServiceChange) -> None:
        """Write it once."""
        action = AuditAction.SERVICE_ADMITTED if change.admitted else AuditAction.SERVICE_DISMISSED
        event = AuditEvent(actor=HOST_ACTOR, action=action, subject=f"service:{change.service}")
        async with self._pool.platform_tx() as tx:
            await self._audit.add_once(
                tx, event, event_id=change.id, occurred_ns=change.occurred_ns
            )
