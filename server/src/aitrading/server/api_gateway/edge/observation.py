"""What can be seen from outside of a request: one record with its verdict, one request id, one trace."""

from typing import Final

from aitrading.server.api_gateway.edge.config import EdgeConfig
from aitrading.server.api_gateway.edge.json_types import Resource, extension
from aitrading.server.api_gateway.edge.trace_names import TRACE_ID

TOKEN_METADATA: Final = "token"  # noqa: S105 - where the verified claims of a request are
DENIED: Final = "denied by "
_CLAIM: Final = f"%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:{TOKEN_METADATA}:{{claim}})%"
_TRACEPARENT: Final = "request.headers['traceparent']"
_WELL_FORMED: Final = " && ".join(
    (
        f"size({_TRACEPARENT}) == 55",
        f"{_TRACEPARENT}.matches('^00-[0-9a-f]+-[0-9a-f]{{16}}-[0-9a-f]+$')",
        f"{_TRACEPARENT}.matches('-..$')",
        f"!{_TRACEPARENT}.startsWith('00-{'0' * 32}-')",
        f"!{_TRACEPARENT}.contains('-{'0' * 16}-')",
    )
)
"""W3C's form of version 00, in expressions that are small enough for Envoy to take."""
_ASIDE: Final = "x-edge-traceparent"


def _set(header: str, value: str) -> Resource:
    """Only when the value is not empty."""
    return {
        "append": {
            "header": {"key": header, "value": value},
            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            "keep_empty_value": False,
        }
    }


_WELL_FORMED_TRACE_ONLY: Final[list[Resource]] = [
    {"remove": _ASIDE},
    _set(_ASIDE, f"%CEL(({_WELL_FORMED}) ? {_TRACEPARENT} : '')%"),
    {"remove": "traceparent"},
    _set("traceparent", f"%REQ({_ASIDE})%"),
    {"remove": _ASIDE},
]
"""What is no trace is dropped before one is begun; else it would be passed on as it came."""
_NOT_FROM_SERVICE: Final = (
    "has(response.code_details) ? response.code_details != 'via_upstream' : true"
)
_VERDICTS: Final = (
    ("response.code_details.startsWith('jwt_authn')", f"{DENIED}token"),
    ("response.code == 429", f"{DENIED}limit"),
    ("response.code == 421", f"{DENIED}host"),
    ("response.code == 404", f"{DENIED}route"),
    ("response.code == 408", f"{DENIED}time"),
    ("response.code == 413 || response.code == 431", f"{DENIED}size"),
    ("response.code >= 500", "failed upstream"),
    ("response.code == 0", "given up by client"),
    ("response.code < 400", "answered at the edge"),
)
"""The first that is true is the verdict on what no service answered; exactly one is written."""


def observation(config: EdgeConfig) -> Resource:
    """One JSON line per request on standard output, and one trace id from the edge on.

    What a service answered - nearly everything - is written without expressions: taking its trace
    from the header by one costs as much as the rest of the record.
    """
    return {
        "generate_request_id": True,
        "always_set_request_id_in_response": True,
        "early_header_mutation_extensions": [
            extension(
                "envoy.http.early_header_mutation.header_mutation",
                "extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
                mutations=_WELL_FORMED_TRACE_ONLY,
            )
        ],
        "access_log": [
            _record(f"!({_NOT_FROM_SERVICE})", verdict="allowed", trace_id="%TRACE_ID%"),
            _record(_NOT_FROM_SERVICE, verdict=_verdict(), trace_id=TRACE_ID),
        ],
        "tracing": {
            "provider": extension(
                "envoy.tracers.opentelemetry",
                "config.trace.v3.OpenTelemetryConfig",
                service_name="edge",
                **_context_only(config),
            ),
            "random_sampling": {"value": 0},
        },
    }


def _context_only(config: EdgeConfig) -> Resource:
    """Start and pass on W3C trace contexts but record no spans: Envoy insists on an exporter."""
    return {
        "sampler": extension(
            "envoy.tracers.opentelemetry.samplers.trace_id_ratio_based",
            "extensions.tracers.opentelemetry.samplers.v3.TraceIdRatioBasedSamplerConfig",
            sampling_percentage={"numerator": 0},
        ),
        "http_service": {
            "http_uri": {
                "uri": "http://nobody/v1/traces",
                "cluster": config.upstreams[0].name,
                "timeout": "1s",
            }
        },
    }


def _record(when: str, *, verdict: str, trace_id: str) -> Resource:
    return {
        **extension(
            "envoy.access_loggers.stdout",
            "extensions.access_loggers.stream.v3.StdoutAccessLog",
            log_format={"json_format": _json_line(verdict, trace_id)},
        ),
        "filter": {
            "extension_filter": extension(
                "envoy.access_loggers.extension_filters.cel",
                "extensions.access_loggers.filters.cel.v3.ExpressionFilter",
                expression=when,
            )
        },
    }


def _verdict() -> str:
    choice = f"'{DENIED}form'"
    for condition, verdict in reversed(_VERDICTS):
        choice = f"({condition}) ? '{verdict}' : ({choice})"
    return f"%CEL({choice})%"


def _json_line(verdict: str, trace_id: str) -> Resource:
    return {
        "ts": "%START_TIME(%Y-%m-%dT%H:%M:%S.%6fZ)%",
        "level": "INFO",
        "service": "edge",
        "logger": "access",
        "msg": "%REQ(:METHOD)% %PATH(NQ):1024% %RESPONSE_CODE%",
        "trace_id": trace_id,
        "fields": {"verdict": verdict, **_FIELDS},
    }


_FIELDS: Final[Resource] = {
    "tenant": _CLAIM.format(claim="tid"),
    "user": _CLAIM.format(claim="sub"),
    "method": "%REQ(:METHOD)%",
    "host": "%REQ(:AUTHORITY):256%",
    "path": "%PATH(NQ):1024%",
    "traceparent": "%REQ(TRACEPARENT)%",
    "protocol": "%PROTOCOL%",
    "status": "%RESPONSE_CODE%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "flags": "%RESPONSE_FLAGS%",
    "duration_ms": "%DURATION%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "device": "%DOWNSTREAM_PEER_URI_SAN%",
    "sni": "%REQUESTED_SERVER_NAME%",
    "tls": "%DOWNSTREAM_TLS_VERSION%",
    "upstream": "%UPSTREAM_CLUSTER%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "user_agent": "%REQ(USER-AGENT):256%",
}
"""No query, no header that could be secret; who asked comes from the verified token alone."""
