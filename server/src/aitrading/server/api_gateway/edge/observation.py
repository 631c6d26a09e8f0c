"""What can be seen from outside of a request: one JSON line, one request id, one trace."""

from aitrading.server.api_gateway.edge.config import EdgeConfig
from aitrading.server.api_gateway.edge.json_types import Resource, extension


def observation(config: EdgeConfig) -> Resource:
    """One JSON line per request on standard output, and one trace id from the edge on."""
    return {
        "generate_request_id": True,
        "always_set_request_id_in_response": True,
        "access_log": [
            extension(
                "envoy.access_loggers.stdout",
                "extensions.access_loggers.stream.v3.StdoutAccessLog",
                log_format={"json_format": _ACCESS_LOG},
            )
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


_ACCESS_LOG: Resource = {
    "ts": "%START_TIME(%Y-%m-%dT%H:%M:%S.%6fZ)%",
    "level": "INFO",
    "service": "edge",
    "logger": "access",
    "msg": "%REQ(:METHOD)% %PATH(NQ)% %RESPONSE_CODE%",
    "trace_id": "%TRACE_ID%",
    "fields": {
        "method": "%REQ(:METHOD)%",
        "host": "%REQ(:AUTHORITY)%",
        "path": "%PATH(NQ)%",
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
        "user_agent": "%REQ(USER-AGENT)%",
    },
}
