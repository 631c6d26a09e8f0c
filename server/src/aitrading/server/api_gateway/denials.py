"""What the services denied is written into the trail of the organisation concerned."""

from itertools import groupby
from typing import ClassVar, Final

from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.event_bus import EventBus, EventEnvelope, Subscription
from aitrading.core.infrastructure.events import DenialsRecorded, Denied, RecordDenials
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.kit.errors import AitradingError, Category
from aitrading.core.kit.ids import TenantId
from aitrading.core.logging.optimized_log_router import bind_context
from aitrading.server.kit.audit_actions import AuditAction
from aitrading.server.kit.audit_trail import AuditEvent, AuditTrail, Outcome
from aitrading.server.kit.postgres import PostgresPool

ACTIONS: Final = frozenset(
    {
        AuditAction.ACCESS_REFUSED,
        AuditAction.ACCESS_UNTOLD,
        AuditAction.TOKEN_MISUSED,
        AuditAction.DEVICE_LINK_REFUSED,
        AuditAction.DEVICE_REQUEST_REFUSED,
    }
)
"""What a service can have told; nothing else is written in another's name."""


class DenialRecorder:
    """A component: confirms what is committed; what is told again is written once."""

    name: ClassVar[str] = "denial-recorder"
    depends_on: ClassVar[tuple[str, ...]] = ("bus",)
    critical: ClassVar[bool] = False

    def __init__(
        self, bus: EventBus, pool: PostgresPool, *, audit: AuditTrail, errors: ErrorHandler
    ) -> None:
        self._bus = bus
        self._pool = pool
        self._audit = audit
        self._errors = errors
        self._subscription: Subscription | None = None
        self.state = ComponentState.NEW

    async def start(self) -> None:
        """Answer from now on."""
        self._subscription = await self._bus.respond(RecordDenials, self._record, scope=None)
        self.state = ComponentState.HEALTHY

    async def stop(self) -> None:
        """Answer no more."""
        if self._subscription is not None:
            await self._subscription.close()
        self.state = ComponentState.STOPPED

    async def _record(self, command: RecordDenials, _: EventEnvelope) -> DenialsRecorded:
        """Raises what a retry may mend; the rest is told and hinders nothing."""
        known = (each for each in command.denials if each.action in ACTIONS)
        for tenant, denials in groupby(sorted(known, key=_owner), key=_owner):
            try:
                await self._write(tenant, list(denials), command.service)
            except AitradingError as exc:
                if exc.spec.category is Category.RETRYABLE:
                    raise
                self._errors.classify(exc)
        return DenialsRecorded(denials=len(command.denials))

    async def _write(self, tenant: TenantId, denials: list[Denied], service: str) -> None:
        async with self._pool.tenant_tx(tenant) as tx:
            for each in denials:
                event = AuditEvent(
                    actor=each.actor,
                    action=AuditAction(each.action),
                    subject=each.subject,
                    outcome=Outcome.DENIED,
                    details={
                        "service": service,
                        "reason": each.reason,
                        "attempts": each.count,
                        "source": each.source,
                    },
                )
                with bind_context(trace_id=each.trace_id):
                    await self._audit.add_once(
                        tx, event, event_id=each.id, occurred_ns=each.occurred_ns
                    )


def _owner(denied: Denied) -> TenantId:
    return TenantId(denied.tenant)
