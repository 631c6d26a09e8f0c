"""The services behind the edge: where they listen and when the edge stops asking them."""

from aitrading.server.api_gateway.edge.config import EdgeConfig, Upstream
from aitrading.server.api_gateway.edge.json_types import Resource, typed

_CONNECT_TIMEOUT = "1s"
_OUTLIER_FAILURES = 5
IDLE_S = 60
"""Shorter than a service keeps an idle connection (`http_servers.KEEP_ALIVE_S`): a request that is
sent while the service hangs up would be answered with 503, for nobody's fault."""
_HTTP_OPTIONS = "extensions.upstreams.http.v3.HttpProtocolOptions"
_UNSEEN = "0.250s"
"""How often a service that is not there is looked for, also before its first request: without the
latter a device's first attempt after a start finds nothing and then waits for its own next one."""


def clusters(config: EdgeConfig) -> list[Resource]:
    """One cluster per service, in the order given."""
    return [_cluster(upstream) for upstream in config.upstreams]


def _cluster(upstream: Upstream) -> Resource:
    return typed(
        "config.cluster.v3.Cluster",
        name=upstream.name,
        type="STATIC",
        connect_timeout=_CONNECT_TIMEOUT,
        typed_extension_protocol_options={
            f"envoy.{_HTTP_OPTIONS}": typed(
                _HTTP_OPTIONS,
                common_http_protocol_options={"idle_timeout": f"{IDLE_S}s"},
                explicit_http_config={"http_protocol_options": {}},
            )
        },
        load_assignment={
            "cluster_name": upstream.name,
            "endpoints": [
                {
                    "lb_endpoints": [
                        {"endpoint": {"address": {"pipe": {"path": str(upstream.socket)}}}}
                    ]
                }
            ],
        },
        circuit_breakers={
            "thresholds": [
                {
                    "max_connections": upstream.max_connections,
                    "max_pending_requests": upstream.max_pending_requests,
                    "max_requests": upstream.max_requests,
                    "max_retries": upstream.max_retries,
                    "track_remaining": True,
                }
            ]
        },
        outlier_detection=_outlier_detection(upstream),
        health_checks=[_health_check(upstream)],
        common_lb_config={"healthy_panic_threshold": {"value": 0}},
    )


def _outlier_detection(upstream: Upstream) -> Resource:
    """A service with one process: an honest 503 of its own must not eject it, only silence may.

    Nor may the end of streams: Envoy counts each that its service ends as a failure of the
    service, and a few people over their limits would close the streams of everybody.
    """
    only_checks = upstream.health_path is None
    return {
        "split_external_local_origin_errors": True,
        "consecutive_local_origin_failure": _OUTLIER_FAILURES,
        "enforcing_consecutive_local_origin_failure": 0 if only_checks else 100,
        "enforcing_local_origin_success_rate": 0,
        "enforcing_consecutive_5xx": 0,
        "enforcing_consecutive_gateway_failure": 0,
        "enforcing_success_rate": 0,
        "interval": "1s",
        "base_ejection_time": "1s",
        "max_ejection_time": "5s",
        "max_ejection_percent": 100,
    }


def _health_check(upstream: Upstream) -> Resource:
    check: Resource = {
        "timeout": "2s",
        "interval": "2s",
        "no_traffic_interval": _UNSEEN,
        "unhealthy_interval": _UNSEEN,
        "no_traffic_healthy_interval": "2s",
        "unhealthy_threshold": 3,
        "healthy_threshold": 1,
    }
    if upstream.health_path is None:
        return {**check, "tcp_health_check": {}}
    return {**check, "http_health_check": {"path": upstream.health_path, "host": upstream.name}}
