"""Denials leave the process: told each second, and again until the audit trail has them."""

from collections.abc import Iterator
from typing import Final

from typing_extensions import override

from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.event_bus import EventBus
from aitrading.core.infrastructure.events import DenialsRecorded, Denied, RecordDenials
from aitrading.core.infrastructure.metrics import Metric, MetricKind, Metrics, Reading
from aitrading.core.infrastructure.reporting import Reporter
from aitrading.core.kit.clock import Clock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.logging.optimized_log_router import get_logger
from aitrading.server.kit.bundle import ServiceBundle
from aitrading.server.kit.denials import Denials

REPORT_EVERY_S: Final = 1.0
ANSWER_LIMIT_S: Final = 5.0
MAX_PER_REPORT: Final = 100
"""Of at most 600 bytes each: far below what the bus takes at once."""
DROPPED: Final = Metric(
    name="aitrading_denials_dropped_total",
    kind=MetricKind.COUNTER,
    help="Refusals of people and devices that this process had no room to keep for the audit trail.",
)
WAITING: Final = Metric(
    name="aitrading_denials_waiting",
    kind=MetricKind.GAUGE,
    help="Audit events of refusals that this process has not handed over yet.",
)
_log = get_logger(__name__)


class DenialReporter(Reporter):
    """Asks the api-gateway to write them; what it does not confirm is told again, under the same id.

    DEGRADED for a minute after something had to be dropped. A process that is killed takes with it
    what was denied in its last second, or since the api-gateway or the database went away.
    """

    def __init__(
        self,
        bus: EventBus,
        denials: Denials,
        bundle: ServiceBundle,
        *,
        clock: Clock,
        errors: ErrorHandler,
        metrics: Metrics,
    ) -> None:
        super().__init__("denial-reporter", every_s=REPORT_EVERY_S, clock=clock, errors=errors)
        self._bus = bus
        self._denials = denials
        self._service = bundle.service
        self._unconfirmed: tuple[Denied, ...] = ()
        metrics.add_source(self._readings)

    @override
    async def report(self) -> None:
        """Hand over what waits, until nothing does or nobody takes it."""
        self._note_dropped(self._denials.dropped, "refusals")
        while True:
            self._unconfirmed = self._unconfirmed or self._denials.take(MAX_PER_REPORT)
            if not self._unconfirmed:
                return
            command = RecordDenials(service=self._service, denials=self._unconfirmed)
            try:
                await self._bus.request(command, DenialsRecorded, timeout_s=ANSWER_LIMIT_S)
            except AitradingError as exc:
                _log.debug("refusals wait for the audit trail: %s", exc.message)
                return
            self._unconfirmed = ()

    def _readings(self) -> Iterator[Reading]:
        yield Reading(DROPPED, self._denials.dropped)
        yield Reading(WAITING, self._denials.waiting + len(self._unconfirmed))
