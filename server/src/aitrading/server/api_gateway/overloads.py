"""When a service of ours granted less, and when it was over, is in the trail of security events.

Folded: a service that swings between both all day leaves few events, not thousands.
"""

from collections.abc import Collection
from typing import ClassVar

from aitrading.core.infrastructure.event_bus import EventBus, EventEnvelope, Subscription
from aitrading.core.infrastructure.events import LimitsChanged
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.server.api_gateway.identity.refusals import RefusalFold
from aitrading.server.kit.audit_actions import AuditAction
from aitrading.server.kit.audit_trail import AuditEvent, AuditTrail
from aitrading.server.kit.postgres import PostgresPool


class Overloads:
    """A component: hears of the services of this release alone, and writes."""

    name: ClassVar[str] = "overloads"
    depends_on: ClassVar[tuple[str, ...]] = ("bus",)
    critical: ClassVar[bool] = False

    def __init__(
        self,
        bus: EventBus,
        pool: PostgresPool,
        *,
        audit: AuditTrail,
        services: Collection[str],
        clock: Clock,
    ) -> None:
        self._bus = bus
        self._pool = pool
        self._audit = audit
        self._services = services
        self._fold = RefusalFold(clock)
        self._subscription: Subscription | None = None
        self.state = ComponentState.NEW

    async def start(self) -> None:
        """Listen from now on."""
        self._subscription = await self._bus.subscribe(LimitsChanged, self._heard)
        self.state = ComponentState.HEALTHY

    async def stop(self) -> None:
        """Listen no more."""
        if self._subscription is not None:
            await self._subscription.close()
        self.state = ComponentState.STOPPED

    async def _heard(self, event: LimitsChanged, _: EventEnvelope) -> None:
        if event.service not in self._services:
            return
        action = AuditAction.LIMITS_REDUCED if event.reduced else AuditAction.LIMITS_RESTORED
        times = self._fold.due(action, event.service.encode(), "")
        if times is None:
            return
        lasted_s = 0 if event.ended_ns is None else (event.ended_ns - event.began_ns) // NS_PER_S
        async with self._pool.platform_tx() as tx:
            await self._audit.add(
                tx,
                AuditEvent(
                    actor=f"service:{event.service}",
                    action=action,
                    subject=event.service,
                    details={
                        "percent": event.percent,
                        "wait_ms": event.wait_ms,
                        "lasted_s": lasted_s,
                        "times": times,
                    },
                ),
            )
