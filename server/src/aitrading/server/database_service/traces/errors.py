"""What the room of traces refuses."""

from typing import Final

from aitrading.core.kit.errors import Category, ErrorSpec, Severity

TRACE_NOT_KEPT: Final = ErrorSpec(
    code="TRACE_NOT_KEPT",
    category=Category.DENIED,
    message="There is no trace {trace_id} here.",
    why="It was an ordinary request that was not sampled, is too old, is still running, "
    "or is not yours.",
    remedy="Requests that fail are kept for `traces.keep_days`; a few seconds pass until they can "
    "be read. `GET /api/v1/traces` lists what there is; `traces.share` keeps more of the rest.",
    http_status=404,
    severity=Severity.DEBUG,
)
