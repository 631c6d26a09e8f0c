"""What the history of metrics refuses."""

from typing import Final

from aitrading.core.kit.errors import Category, ErrorSpec, Severity

EXPOSITION_UNREADABLE: Final = ErrorSpec(
    code="EXPOSITION_UNREADABLE",
    category=Category.FATAL,
    message="The metrics of {service} are not Prometheus text: {reason}.",
    why="Another program answers on its port, or its release speaks another format.",
    remedy="Ask its `/metrics` yourself; bring all services to the same release.",
    http_status=422,
)
METRIC_UNKNOWN: Final = ErrorSpec(
    code="METRIC_UNKNOWN",
    category=Category.DENIED,
    message="No metric {name} was ever seen{of}. Near: {near}.",
    why="The name has another spelling, the service never counted it, or its series were "
    "forgotten.",
    remedy="`aitrading metrics list` names every metric; a counter appears when it first counts.",
    http_status=404,
    severity=Severity.INFO,
)
METRIC_LABELS_UNKNOWN: Final = ErrorSpec(
    code="METRIC_LABELS_UNKNOWN",
    category=Category.DENIED,
    message="{name} was never seen with {labels}. It has: {known}.",
    why="A label has another name or another value.",
    remedy="Leave `labels` out to see every series of the metric.",
    http_status=404,
    severity=Severity.INFO,
)
METRIC_SERVICE_UNKNOWN: Final = ErrorSpec(
    code="METRIC_SERVICE_UNKNOWN",
    category=Category.DENIED,
    message="The history knows no service {service}. It knows: {known}.",
    why="The name has another spelling, or its metrics were never read.",
    remedy="Use one of the names.",
    http_status=404,
    severity=Severity.INFO,
)
METRIC_RANGE_REFUSED: Final = ErrorSpec(
    code="METRIC_RANGE_REFUSED",
    category=Category.DENIED,
    message="The history cannot show that stretch of time: {reason}. It is kept for {kept_days} "
    "days.",
    why="It begins after it ends, in the future, or before anything is kept.",
    remedy="Ask for a stretch that lies within what is kept.",
    http_status=400,
    severity=Severity.INFO,
)
METRIC_STEP_TOO_FINE: Final = ErrorSpec(
    code="METRIC_STEP_TOO_FINE",
    category=Category.DENIED,
    message="Nothing is kept that far back of which a step of {step_s} s could be made; steps "
    "are whole multiples of {least_s} s there.",
    why="Fine samples are kept for a short time, coarser ones for longer; a step holds whole "
    "samples.",
    remedy="Use such a step, or leave it out.",
    http_status=400,
    severity=Severity.INFO,
)
METRIC_ANSWER_TOO_LARGE: Final = ErrorSpec(
    code="METRIC_ANSWER_TOO_LARGE",
    category=Category.DENIED,
    message="The answer would have {wanted} {what}; at most {limit} are given at once.",
    why="Every answer is bounded, so that one question slows nobody else.",
    remedy="Ask for a shorter stretch, a longer step, one service, or certain labels.",
    http_status=400,
    severity=Severity.INFO,
)
METRIC_SERIES_LIMIT: Final = ErrorSpec(
    code="METRIC_SERIES_LIMIT",
    category=Category.DENIED,
    message="{service} has more than {limit} series; {refused} new ones are not kept.",
    why="A label takes ever new values; the history is bounded for each service.",
    remedy="Find the label with `aitrading metrics list --service …`, or raise "
    "`metrics_history.series_per_service`.",
    http_status=422,
    severity=Severity.WARNING,
)
