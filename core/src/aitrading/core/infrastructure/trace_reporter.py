"""Parts of traces leave the process: collected twice a second, and kept until that is confirmed."""

from collections.abc import Iterator
from typing import Final

from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.event_bus import EventBus
from aitrading.core.infrastructure.events import CollectTraces, TracesCollected
from aitrading.core.infrastructure.lifecycle import ComponentState, TaskSet
from aitrading.core.infrastructure.metrics import Metric, MetricKind, Metrics, Reading
from aitrading.core.infrastructure.tracing import RequestTracer
from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.logging.optimized_log_router import get_logger

REPORT_EVERY_S: Final = 0.5
ANSWER_LIMIT_S: Final = 5.0
MAX_SPANS_PER_REPORT: Final = 500
"""Of at most 400 bytes each: below what the bus takes at once."""
DEGRADED_FOR_S: Final = 60
DROPPED: Final = Metric(
    name="aitrading_trace_parts_dropped_total",
    kind=MetricKind.COUNTER,
    help="Parts of traces this process dropped because nobody collected them in time.",
    labels=("outcome",),
)
WAITING: Final = Metric(
    name="aitrading_trace_spans_waiting",
    kind=MetricKind.GAUGE,
    help="Spans of this process that wait to be collected.",
)
_log = get_logger(__name__)


class TraceReporter:
    """Asks the collector to take what ended; what it does not confirm waits on, bounded.

    DEGRADED for a minute after parts had to be dropped. A process that is killed takes with it
    what ended since its last report: half a second.
    """

    def __init__(
        self,
        bus: EventBus,
        tracer: RequestTracer,
        *,
        clock: Clock,
        errors: ErrorHandler,
        metrics: Metrics,
    ) -> None:
        assert tracer.backlog is not None  # noqa: S101 - without it nothing is to be reported
        self.name = "trace-reporter"
        self.depends_on = ("bus",)
        self.critical = False
        self._bus = bus
        self._backlog = tracer.backlog
        self._clock = clock
        self._errors = errors
        self._state = ComponentState.NEW
        self._told_dropped = 0
        self._dropped_at_ns: int | None = None
        self._tasks = TaskSet(self.name, on_error=self._failed)
        metrics.add_source(self._readings)

    @property
    def state(self) -> ComponentState:
        """DEGRADED while traces are incomplete for want of room, or after its work failed."""
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

    def statistics(self) -> dict[str, int]:
        """What waits, and what was dropped since the start."""
        backlog = self._backlog
        return {
            "spans_waiting": backlog.spans,
            "parts_dropped": backlog.dropped,
            "failed_parts_dropped": backlog.dropped_failed,
        }

    async def report(self) -> None:
        """Hand over what waits, until nothing does or the collector does not answer."""
        self._look_for_drops()
        lost = self._backlog.take_lost()
        while (parts := self._backlog.take(MAX_SPANS_PER_REPORT)) or lost:
            command = CollectTraces(parts=parts, lost=lost)
            try:
                await self._bus.request(command, TracesCollected, timeout_s=ANSWER_LIMIT_S)
            except AitradingError as exc:
                # Not classified: it would be reported by the same way that is closed.
                self._backlog.put_back(parts, lost)
                _log.debug("traces wait to be collected: %s", exc.message)
                return
            except BaseException:
                # Cancelled as well: the last report of all is made by who cancels.
                self._backlog.put_back(parts, lost)
                raise
            lost = ()

    def _look_for_drops(self) -> None:
        dropped = self._backlog.dropped + self._backlog.dropped_failed
        if dropped > self._told_dropped:
            _log.warning("parts of traces were dropped: %d", dropped - self._told_dropped)
            self._told_dropped = dropped
            self._dropped_at_ns = self._clock.monotonic_ns()

    async def _report_for_ever(self) -> None:
        while True:
            await self._clock.sleep(REPORT_EVERY_S)
            await self.report()

    def _readings(self) -> Iterator[Reading]:
        yield Reading(DROPPED, self._backlog.dropped, ("other",))
        yield Reading(DROPPED, self._backlog.dropped_failed, ("failed",))
        yield Reading(WAITING, self._backlog.spans)

    def _failed(self, _task: str, exc: Exception) -> None:
        self._errors.classify(exc)
