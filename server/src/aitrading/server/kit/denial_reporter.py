"""Denials leave the process: told each second, and again until the audit trail has them."""

from collections.abc import Iterator
from typing import Final

from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.event_bus import EventBus
from aitrading.core.infrastructure.events import DenialsRecorded, Denied, RecordDenials
from aitrading.core.infrastructure.lifecycle import ComponentState, TaskSet
from aitrading.core.infrastructure.metrics import Metric, MetricKind, Metrics, Reading
from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.logging.optimized_log_router import get_logger
from aitrading.server.kit.bundle import ServiceBundle
from aitrading.server.kit.denials import Denials

REPORT_EVERY_S: Final = 1.0
ANSWER_LIMIT_S: Final = 5.0
MAX_PER_REPORT: Final = 100
"""Of at most 600 bytes each: far below what the bus takes at once."""
DEGRADED_FOR_S: Final = 60
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


class DenialReporter:
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
        self.name = "denial-reporter"
        self.depends_on = ("bus",)
        self.critical = False
        self._bus = bus
        self._denials = denials
        self._service = bundle.service
        self._clock = clock
        self._errors = errors
        self._state = ComponentState.NEW
        self._unconfirmed: tuple[Denied, ...] = ()
        self._told_dropped = 0
        self._dropped_at_ns: int | None = None
        self._tasks = TaskSet(self.name, on_error=self._failed)
        metrics.add_source(self._readings)

    @property
    def state(self) -> ComponentState:
        """DEGRADED while the trail is incomplete for want of room, or after its work failed."""
        if self._state is ComponentState.HEALTHY and self._dropped_at_ns is not None:
            since_ns = self._clock.monotonic_ns() - self._dropped_at_ns
            if since_ns < DEGRADED_FOR_S * NS_PER_S:
                return ComponentState.DEGRADED
        return self._tasks.judged(self._state)

    async def start(self) -> None:
        """Report for ever."""
        self._tasks.keep(self._report_for_ever, name="report", clock=self._clock)
        self._state = ComponentState.HEALTHY

    async def stop(self) -> None:
        """Report a last time; what is not taken then is lost."""
        self._state = ComponentState.STOPPING
        await self._tasks.close()
        await self.report()
        self._state = ComponentState.STOPPED

    async def report(self) -> None:
        """Hand over what waits, until nothing does or nobody takes it."""
        self._look_for_drops()
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

    def _look_for_drops(self) -> None:
        dropped = self._denials.dropped
        if dropped > self._told_dropped:
            _log.warning("refusals were dropped: %d", dropped - self._told_dropped)
            self._told_dropped = dropped
            self._dropped_at_ns = self._clock.monotonic_ns()

    async def _report_for_ever(self) -> None:
        while True:
            await self._clock.sleep(REPORT_EVERY_S)
            await self.report()

    def _readings(self) -> Iterator[Reading]:
        yield Reading(DROPPED, self._denials.dropped)
        yield Reading(WAITING, self._denials.waiting + len(self._unconfirmed))

    def _failed(self, _task: str, exc: Exception) -> None:
        self._errors.classify(exc)
