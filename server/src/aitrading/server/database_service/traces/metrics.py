"""What the room of traces measures of itself."""

from typing import Final

from aitrading.core.infrastructure.metrics import Metric, MetricKind

KEPT: Final = Metric(
    name="aitrading_traces_kept_total",
    kind=MetricKind.COUNTER,
    help="Traces kept, by why: failed, refused, slow or share.",
    labels=("because",),
)
PASSED: Final = Metric(
    name="aitrading_traces_passed_total",
    kind=MetricKind.COUNTER,
    help="Traces of ordinary requests that were not sampled.",
)
DROPPED: Final = Metric(
    name="aitrading_traces_dropped_total",
    kind=MetricKind.COUNTER,
    help="Traces that would have been kept and were not, or not wholly: no room to hold them "
    "(held), too many of one organisation in a minute (minute), a store that was away too long "
    "(store), one that grew without end (trace), or parts that the store cannot take (invalid).",
    labels=("because",),
)
HELD: Final = Metric(
    name="aitrading_trace_spans_held",
    kind=MetricKind.GAUGE,
    help="Spans held until it is decided whether their trace is kept.",
)
