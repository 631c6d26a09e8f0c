"""What the history of metrics measures of itself."""

from typing import Final

from aitrading.core.infrastructure.metrics import Metric, MetricKind

ANSWERED: Final = Metric(
    name="aitrading_history_answered",
    kind=MetricKind.GAUGE,
    help="1 when the metrics of a service were read in the last round, 0 when it did not answer.",
    labels=("service",),
)
SERIES: Final = Metric(
    name="aitrading_history_series",
    kind=MetricKind.GAUGE,
    help="Series kept of a service.",
    labels=("service",),
)
REFUSED: Final = Metric(
    name="aitrading_history_refused_total",
    kind=MetricKind.COUNTER,
    help="Readings not kept: their service has too many series, or a label is too long.",
    labels=("service",),
)
STORED: Final = Metric(
    name="aitrading_history_points_stored_total",
    kind=MetricKind.COUNTER,
    help="Points of metrics that were stored.",
)
DROPPED: Final = Metric(
    name="aitrading_history_points_dropped_total",
    kind=MetricKind.COUNTER,
    help="Points that could not be stored; levels are lost, growth is stored with the next ones.",
)
ROUND_SECONDS: Final = Metric(
    name="aitrading_history_round_duration_s",
    kind=MetricKind.HISTOGRAM,
    help="Time from the beginning of a round to the end of its write.",
)
