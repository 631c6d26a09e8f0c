"""What the edge itself answers, in the platform's one error shape."""

from typing import Final

from aitrading.core.kit.errors import Category, ErrorSpec, Severity
from aitrading.server.api_gateway.edge.json_types import Json, Resource
from aitrading.server.api_gateway.edge.trace_names import TRACE_ID

EDGE_TOKEN_REFUSED = ErrorSpec(
    code="EDGE_TOKEN_REFUSED",
    category=Category.DENIED,
    message="no valid access token came with this request",
    why="The token is missing, expired, or not signed by this installation.",
    remedy="Log in again, or get a token with `aitrading token --for TENANT/USER`.",
    http_status=401,
    severity=Severity.INFO,
)
EDGE_TOKEN_MISDIRECTED = ErrorSpec(
    code="EDGE_TOKEN_MISDIRECTED",
    category=Category.DENIED,
    message="this token was issued for another audience",
    why="A token works only for the service that it names; this one names a different one.",
    remedy="Use an access token of this installation's API.",
    http_status=403,
    severity=Severity.WARNING,
)
EDGE_NO_ROUTE = ErrorSpec(
    code="EDGE_NO_ROUTE",
    category=Category.DENIED,
    message="nothing answers at this path",
    why="The path is not part of the public interface.",
    remedy="See /docs for every path there is.",
    http_status=404,
    severity=Severity.DEBUG,
)
EDGE_UNKNOWN_HOST = ErrorSpec(
    code="EDGE_UNKNOWN_HOST",
    category=Category.DENIED,
    message="this installation does not answer to that host name",
    why="Answering to any name would let a hostile page borrow your browser's network.",
    remedy="Add the name to `gateway.hosts` in aitrading.toml and start again.",
    http_status=421,
    severity=Severity.INFO,
)
EDGE_RATE_LIMITED = ErrorSpec(
    code="EDGE_RATE_LIMITED",
    category=Category.RETRYABLE,
    message="too many requests from this address",
    why="Requests are limited per address; logging in and enrolling more, because secrets are guessed there.",
    remedy="Wait as long as the answer's Retry-After says, then try again.",
    http_status=429,
    severity=Severity.WARNING,
)
EDGE_HEADERS_TOO_LARGE = ErrorSpec(
    code="EDGE_HEADERS_TOO_LARGE",
    category=Category.DENIED,
    message="the request's headers are larger than the edge takes",
    why="Cookies or headers grew beyond `max_header_kib`.",
    remedy="Clear this site's cookies, or send fewer headers.",
    http_status=431,
    severity=Severity.INFO,
)
EDGE_REQUEST_MALFORMED = ErrorSpec(
    code="EDGE_REQUEST_MALFORMED",
    category=Category.DENIED,
    message="the request has no single meaning",
    why="Its path, headers or framing can be read in more than one way, which attackers use.",
    remedy="Send plain paths without escaped slashes, and well-formed headers.",
    http_status=400,
    severity=Severity.INFO,
)
EDGE_REQUEST_TOO_SLOW = ErrorSpec(
    code="EDGE_REQUEST_TOO_SLOW",
    category=Category.DENIED,
    message="the request did not arrive in time",
    why="Headers and body must arrive within seconds; slow ones would hold connections open.",
    remedy="Send the request again over a working network.",
    http_status=408,
    severity=Severity.INFO,
)
EDGE_BODY_TOO_LARGE = ErrorSpec(
    code="EDGE_BODY_TOO_LARGE",
    category=Category.DENIED,
    message="the request's body is larger than this path takes",
    why="Each path declares how much it reads; more is refused before any service sees it.",
    remedy="Send less at once; /docs tells the shape of every request.",
    http_status=413,
    severity=Severity.INFO,
)
EDGE_UPGRADE_REFUSED = ErrorSpec(
    code="EDGE_UPGRADE_REFUSED",
    category=Category.DENIED,
    message="this path is no WebSocket",
    why="Only streams can be upgraded.",
    remedy="Open the WebSocket at /api/v1/stream.",
    http_status=403,
    severity=Severity.INFO,
)
EDGE_UPSTREAM_BROKEN = ErrorSpec(
    code="EDGE_UPSTREAM_BROKEN",
    category=Category.RETRYABLE,
    message="the service's answer could not be understood",
    why="It ended in the middle of its answer, or something else listens in its place.",
    remedy="Try again; if it stays, look at the service's log and `aitrading status`.",
    http_status=502,
)
EDGE_UPSTREAM_UNAVAILABLE = ErrorSpec(
    code="EDGE_UPSTREAM_UNAVAILABLE",
    category=Category.RETRYABLE,
    message="the service behind this path does not answer",
    why="It is starting, restarting or overloaded; the edge refused instead of queueing.",
    remedy="Try again in a few seconds; `aitrading status` tells which service it is.",
    http_status=503,
)
EDGE_UPSTREAM_TIMEOUT = ErrorSpec(
    code="EDGE_UPSTREAM_TIMEOUT",
    category=Category.RETRYABLE,
    message="the service did not answer within the time this path allows",
    why="The request was too heavy, or the service or its database is slow.",
    remedy="Ask for less at once; check `aitrading status` and the service's log.",
    http_status=504,
)

EDGE_REPLIES = (
    EDGE_REQUEST_MALFORMED,
    EDGE_REQUEST_TOO_SLOW,
    EDGE_BODY_TOO_LARGE,
    EDGE_UPSTREAM_BROKEN,
    EDGE_TOKEN_REFUSED,
    EDGE_TOKEN_MISDIRECTED,
    EDGE_NO_ROUTE,
    EDGE_UNKNOWN_HOST,
    EDGE_RATE_LIMITED,
    EDGE_HEADERS_TOO_LARGE,
    EDGE_UPSTREAM_UNAVAILABLE,
    EDGE_UPSTREAM_TIMEOUT,
)


def local_replies() -> Resource:
    """Rewrite Envoy's own plain-text answers as errors with code, remedy and request id."""
    upgrade = _mapper(
        EDGE_UPGRADE_REFUSED,
        {"and_filter": {"filters": [_status(EDGE_UPGRADE_REFUSED), _ASKS_FOR_AN_UPGRADE]}},
    )
    return {"mappers": [upgrade, *(_mapper(spec, _status(spec)) for spec in EDGE_REPLIES)]}


_ASKS_FOR_AN_UPGRADE: Resource = {
    "header_filter": {"header": {"name": "upgrade", "present_match": True}}
}


_REQUEST_ID: Final = (
    "%CEL('x-request-id' in request.headers ? request.headers['x-request-id'] : '')%"
)
"""Never `null`, which the document does not allow: what Envoy refuses early has no id yet."""


def _status(spec: ErrorSpec) -> Resource:
    return {
        "status_code_filter": {
            "comparison": {
                "op": "EQ",
                "value": {
                    "default_value": spec.http_status,
                    "runtime_key": f"edge.local_reply.{spec.http_status}",
                },
            }
        }
    }


def _mapper(spec: ErrorSpec, when: Resource) -> Json:
    return {
        "filter": when,
        "body_format_override": {
            "json_format": {
                "error": {
                    "code": spec.code,
                    "message": spec.message,
                    "category": spec.category.value,
                    "fields": {},
                    "remedy": spec.remedy,
                    "request_id": _REQUEST_ID,
                    "trace_id": TRACE_ID,
                }
            },
            "content_type": "application/json",
        },
    }
