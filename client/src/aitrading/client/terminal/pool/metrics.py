"""What is measured of the workers."""

from typing import Final

from aitrading.core.infrastructure.metrics import Metric, MetricKind

TERMINAL_WAIT: Final = Metric(
    name="aitrading_client_terminal_wait_s",
    kind=MetricKind.HISTOGRAM,
    help="How long questions to the terminal waited for a worker, by what they are for.",
    labels=("lane",),
)
