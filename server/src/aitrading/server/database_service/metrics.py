"""What the database service measures."""

from typing import Final

from aitrading.core.infrastructure.metrics import Metric, MetricKind

TICKS_STORED: Final = Metric(
    name="aitrading_database_ticks_stored_total",
    kind=MetricKind.COUNTER,
    help="Ticks that are durable in ClickHouse; each counts once.",
)
BAR_DAYS_MADE: Final = Metric(
    name="aitrading_database_bar_days_made_total",
    kind=MetricKind.COUNTER,
    help="Pieces of work of the bar keeper: bars of some streams within one day.",
)
TICKS_REPEATED: Final = Metric(
    name="aitrading_database_ticks_repeated_total",
    kind=MetricKind.COUNTER,
    help="Ticks that came again and were dropped because they are stored.",
)
SEGMENTS_STORED: Final = Metric(
    name="aitrading_database_segments_stored_total",
    kind=MetricKind.COUNTER,
    help="Segments stored completely.",
)
SEGMENTS_QUARANTINED: Final = Metric(
    name="aitrading_database_segments_quarantined_total",
    kind=MetricKind.COUNTER,
    help="Segments set aside because they can never be stored, by the reason.",
    labels=("cause",),
)
SEGMENT_SECONDS: Final = Metric(
    name="aitrading_database_segment_duration_s",
    kind=MetricKind.HISTOGRAM,
    help="Time from the receipt of a segment to its durable end.",
)
PAGES_READ: Final = Metric(
    name="aitrading_database_tick_pages_total",
    kind=MetricKind.COUNTER,
    help="Pages of ticks given to users.",
)
