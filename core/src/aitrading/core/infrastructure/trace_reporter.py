"""Parts of traces leave the process: collected twice a second, and kept until that is confirmed."""

from collections.abc import Iterator
from typing import Final

from typing_extensions import override

from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.event_bus import EventBus
from aitrading.core.infrastructure.events import CollectTraces, TracesCollected
from aitrading.core.infrastructure.metrics import Metric, MetricKind, Metrics, Reading
from aitrading.core.infrastructure.reporting import Reporter
from aitrading.core.infrastructure.tracing import RequestTracer
from aitrading.core.kit.clock import Clock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.logging.optimized_log_router import get_logger

REPORT_EVERY_S: Final = 0.5
ANSWER_LIMIT_S: Final = 5.0
MAX_SPANS_PER_REPORT: Final = 500
"""Of at most 400 bytes each: below what the bus takes at once."""
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


class TraceReporter(Reporter):
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
        super().__init__("trace-reporter", every_s=REPORT_EVERY_S, clock=clock, errors=errors)
        self._bus = bus
        self._backlog = tracer.backlog
        metrics.add_source(self._readings)

    def statistics(self) -> dict[str, int]:
        """What waits, and what was dropped since the start."""
        backlog = self._backlog
        return {
            "spans_waiting": backlog.spans,
            "parts_dropped": backlog.dropped,
            "failed_parts_dropped": backlog.dropped_failed,
        }

    @override
    async def report(self) -> None:
        """Hand over what waits, until nothing does or the collector does not answer."""
        backlog = self._backlog
        self._note_dropped(backlog.dropped + backlog.dropped_failed, "parts of traces")
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

    def _readings(self) -> Iterator[Reading]:
        yield Reading(DROPPED, self._backlog.dropped, ("other",))
        yield Reading(DROPPED, self._backlog.dropped_failed, ("failed",))
        yield Reading(WAITING, self._backlog.spans)
