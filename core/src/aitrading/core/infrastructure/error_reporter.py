"""Errors leave the process: what happened is published each second, what is similar comes back."""

from typing import Final
from uuid import UUID

from typing_extensions import override

from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.event_bus import EventBus, EventEnvelope, Subscription
from aitrading.core.infrastructure.events import ErrorRecognised, ErrorSeen, ErrorsSeen
from aitrading.core.infrastructure.reporting import Reporter
from aitrading.core.kit.clock import Clock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import TenantId
from aitrading.core.logging.optimized_log_router import get_logger

REPORT_EVERY_S: Final = 1.0
MAX_PER_EVENT: Final = 50
"""Keeps an event well below what the bus accepts."""

_log = get_logger(__name__)


class ErrorReporter(Reporter):
    """Publishes the folded errors of this process, those of each tenant apart.

    While the bus is lost they wait in the backlog, which is bounded.
    """

    def __init__(
        self, bus: EventBus, errors: ErrorHandler, *, clock: Clock, service: str, instance: str
    ) -> None:
        super().__init__("error-reporter", every_s=REPORT_EVERY_S, clock=clock, errors=errors)
        self._bus = bus
        self._errors = errors
        self._service = service
        self._instance = instance
        self._subscription: Subscription | None = None

    @override
    async def start(self) -> None:
        """Subscribe, then report for ever."""
        self._subscription = await self._bus.subscribe(ErrorRecognised, self._on_recognised)
        await super().start()

    @override
    async def stop(self) -> None:
        """Report a last time; a lost bus loses what still waits."""
        await super().stop()
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            await subscription.close()

    @override
    async def report(self) -> None:
        """Publish what waits; what the bus does not take waits on."""
        parts = [
            (tenant, seen[at : at + MAX_PER_EVENT])
            for tenant, seen in self._errors.backlog.drain().items()
            for at in range(0, len(seen), MAX_PER_EVENT)
        ]
        while parts:
            try:
                await self._publish(*parts[0])
            except AitradingError as exc:
                # Not classified: an error about reporting errors would be reported for ever.
                self._errors.backlog.put_back(*parts[0])
                _log.debug("errors wait for the bus: %s", exc.message)
            except BaseException:
                for each in parts:
                    self._errors.backlog.put_back(*each)
                raise
            parts.pop(0)

    async def _publish(self, tenant: str | None, seen: list[ErrorSeen]) -> None:
        event = ErrorsSeen(service=self._service, instance=self._instance, errors=tuple(seen))
        await self._bus.publish(event, tenant=_owner(tenant))

    async def _on_recognised(self, event: ErrorRecognised, _: EventEnvelope) -> None:
        self._errors.recognise(event.fingerprint, event.similar)


def _owner(tenant: str | None) -> TenantId | None:
    """The organisation, or None for the platform's own; an odd name is nobody's."""
    try:
        return TenantId(UUID(tenant)) if tenant else None
    except ValueError:
        return None
