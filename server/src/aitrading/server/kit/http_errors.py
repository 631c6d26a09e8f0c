"""What any endpoint may refuse before its handler runs, and how errors look on the wire."""

import msgspec

from aitrading.core.kit.errors import AitradingError, Category, ErrorSpec, Impact, Severity
from aitrading.server.kit.peer_errors import TRACE_ID, ErrorAnswer, ErrorBody

NOT_FOUND = ErrorSpec(
    code="NOT_FOUND",
    category=Category.DENIED,
    message="There is nothing at {path}.",
    why="The address is misspelt, or it belongs to another organisation.",
    remedy="`/docs` lists every address.",
    http_status=404,
    severity=Severity.DEBUG,
)
METHOD_NOT_ALLOWED = ErrorSpec(
    code="METHOD_NOT_ALLOWED",
    category=Category.DENIED,
    message="{path} does not answer {method}.",
    why="The address is right, the method is not.",
    remedy="`/docs` lists the methods of every address.",
    http_status=405,
    severity=Severity.DEBUG,
)
REQUEST_INVALID = ErrorSpec(
    code="REQUEST_INVALID",
    category=Category.DENIED,
    message="The request cannot be understood: {reason}.",
    why="A field is missing, misspelt, or of another type than documented.",
    remedy="Compare it with `/docs`.",
    http_status=400,
    severity=Severity.DEBUG,
)
BODY_TOO_LARGE = ErrorSpec(
    code="BODY_TOO_LARGE",
    category=Category.DENIED,
    message="The request body is larger than {limit_bytes} bytes.",
    why="Every endpoint has a limit, so that nobody can fill the memory.",
    remedy="Send less at once.",
    http_status=413,
    severity=Severity.INFO,
)
ORIGIN_REFUSED = ErrorSpec(
    code="ORIGIN_REFUSED",
    category=Category.DENIED,
    message="This came from another site and was refused.",
    why="A browser sent your cookie with a request that our own page did not make.",
    remedy="Use our page, or send a token in the `Authorization` header from a program.",
    http_status=403,
    severity=Severity.WARNING,
)
NETWORK_REFUSED = ErrorSpec(
    code="NETWORK_REFUSED",
    category=Category.DENIED,
    message="Your organisation's logins do not count in the network you come from.",
    why="It has a list of networks, and your address is in none of them.",
    remedy="Come from one of them (an office, a VPN). An administrator inside changes the list with "
    "`aitrading login-rules set`; the host takes it back with `aitrading config tenant unset "
    "login.networks --tenant NAME`.",
    http_status=403,
    severity=Severity.WARNING,
)
REVOCATIONS_UNKNOWN = ErrorSpec(
    code="REVOCATIONS_UNKNOWN",
    category=Category.RETRYABLE,
    message="Whether this login still counts cannot be told now.",
    why="This service heard nothing of ended logins for some seconds: the bus and the api-gateway "
    "are both out of its reach.",
    remedy="Try again in a few seconds; reading, the kill switch and reducing a position work "
    "meanwhile. On the host: `aitrading doctor`.",
    http_status=503,
    severity=Severity.ERROR,
    impact=Impact.TRADING,
)
PEER_CALL_REFUSED = ErrorSpec(
    code="PEER_CALL_REFUSED",
    category=Category.DENIED,
    message="This address is for certain services of this installation only.",
    why="The caller showed no certificate and token of a service that may call it.",
    remedy="Nothing to do for a user; an operator finds the caller in the log.",
    http_status=403,
    severity=Severity.WARNING,
)
INTERNAL_ERROR = ErrorSpec(
    code="INTERNAL_ERROR",
    category=Category.FATAL,
    message="Something went wrong on our side.",
    why="A defect: the details are in the log under the request id.",
    remedy="Report the request id to your operator.",
    http_status=500,
    severity=Severity.ERROR,
    impact=Impact.VISIBILITY,
)


def error_json(error: AitradingError, request_id: str, trace_id: str) -> bytes:
    """The one JSON shape of errors."""
    body = ErrorBody(
        code=error.code,
        message=error.message,
        category=error.spec.category,
        fields={name: value for name, value in error.fields.items() if name != TRACE_ID},
        remedy=error.spec.remedy,
        request_id=request_id,
        trace_id=trace_id,
    )
    return msgspec.json.encode(ErrorAnswer(error=body))
