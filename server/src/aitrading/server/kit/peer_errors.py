"""What can go wrong between two services."""

from typing import Final

import msgspec

from aitrading.core.kit.errors import (
    AitradingError,
    Category,
    ErrorSpec,
    FieldValue,
    Impact,
    Severity,
)

TRACE_ID: Final = "trace_id"
"""The field of a peer's error that names the trace of the request that failed."""
PEER_UNREACHABLE = ErrorSpec(
    code="PEER_UNREACHABLE",
    category=Category.RETRYABLE,
    message="{peer} does not answer: {reason}.",
    why="It is starting, it crashed, or it refused our certificate.",
    remedy="Wait for its restart; `aitrading status` shows its state and its last log lines.",
    http_status=503,
    severity=Severity.WARNING,
    impact=Impact.VISIBILITY,
)
PEER_TIMEOUT = ErrorSpec(
    code="PEER_TIMEOUT",
    category=Category.RETRYABLE,
    message="{peer} did not answer {path} within {timeout_s} s.",
    why="It is overloaded or blocked; the request may still have been carried out.",
    remedy="Try again if the request is safe to repeat; look at its health for what is slow.",
    http_status=504,
    severity=Severity.WARNING,
    impact=Impact.VISIBILITY,
)
PEER_BUSY = ErrorSpec(
    code="PEER_BUSY",
    category=Category.RETRYABLE,
    message="All {limit} connections to {peer} are in use.",
    why="Calls arrive faster than {peer} answers.",
    remedy="Try again later; look at the health of {peer}.",
    http_status=503,
    severity=Severity.WARNING,
    impact=Impact.VISIBILITY,
)
PEER_PROTOCOL = ErrorSpec(
    code="PEER_PROTOCOL",
    category=Category.FATAL,
    message="{peer} answered {path} with something unexpected: {reason}.",
    why="The two services run different versions, or something else listens there.",
    remedy="Run the same version everywhere: `aitrading status` shows each one's version.",
    http_status=502,
)


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """The inside of the one JSON shape of errors."""

    code: str
    message: str
    category: Category
    fields: dict[str, FieldValue] = {}
    remedy: str = ""
    request_id: str = ""
    trace_id: str = ""


class ErrorAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The one JSON shape of errors."""

    error: ErrorBody


def rebuilt(answer: ErrorAnswer, http_status: int) -> AitradingError:
    """The peer's error as if it had been raised here, so that it reaches the caller unchanged."""
    body = answer.error
    spec = ErrorSpec(
        code=body.code,
        category=body.category,
        message=body.message.replace("{", "{{").replace("}", "}}"),
        why="",
        remedy=body.remedy,
        http_status=http_status,
        severity=Severity.INFO if body.category is Category.DENIED else Severity.WARNING,
    )
    told = {TRACE_ID: body.trace_id} if body.trace_id else {}
    return spec.error(**body.fields, **told)
