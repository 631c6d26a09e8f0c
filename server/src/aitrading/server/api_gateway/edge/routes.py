"""The route tables: who answers which path, and how long the edge waits for the answer."""

from collections.abc import Iterable
from math import ceil

from aitrading.core.infrastructure.service_registry import RouteAccess
from aitrading.server.api_gateway.edge.config import (
    EdgeConfig,
    RateLimit,
    Route,
    TimeoutClass,
)
from aitrading.server.api_gateway.edge.json_types import Json, Resource, always, typed

PUBLIC_ROUTES = "public"
LINK_ROUTES = "link"
RATE_LIMIT_FILTER = "envoy.filters.http.local_ratelimit"
CORS_FILTER = "envoy.filters.http.cors"
BODY_FILTER = "envoy.filters.http.buffer"
LINK_PATH = "/link"
DEVICE_PATHS = tuple(
    f"/api/v1/devices/{name}"
    for name in ("configuration", "credentials", "notes", "security", "token")
)
"""What a device asks over HTTPS under its link's name, and what lies below."""

_ROUTE_CONFIGURATION = "config.route.v3.RouteConfiguration"
_RATE_LIMIT = "extensions.filters.http.local_ratelimit.v3.LocalRateLimit"
_FILLS_PER_MINUTE = 1_200
_UNLIMITED = RateLimit(burst=1 << 30, per_minute=1_200 << 20)
"""Together all addresses may do anything: whose bucket it were, one flood would close for all."""
_CUSTOMER: Resource = {"v4_prefix_mask_len": 32, "v6_prefix_mask_len": 64}
"""One customer has a whole /64 of IPv6, and could come from another address each time."""
_STRICT_TRANSPORT = "max-age=31536000; includeSubDomains"
_RESPONSE_HEADERS = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
_HIDDEN_REQUEST_HEADERS = ("x-jwt-payload", "x-envoy-original-path")
_HIDDEN_RESPONSE_HEADERS = ("x-powered-by", "x-envoy-upstream-service-time")


def route_tables(config: EdgeConfig) -> dict[str, Resource]:
    """Two tables by name: one for people and programs, one for devices with the few paths of theirs."""
    return {PUBLIC_ROUTES: _public(config), LINK_ROUTES: _link(config)}


def route_file(table: str) -> str:
    """The stem of the file that holds a table: Envoy takes one table per file."""
    return f"rds-{table}"


def _public(config: EdgeConfig) -> Resource:
    routes = [_route(route, config) for route in most_specific_first(config.routes)]
    return _table(PUBLIC_ROUTES, config, config.hosts, [*routes, _nothing_here()])


def _link(config: EdgeConfig) -> Resource:
    line = Route(
        path=LINK_PATH,
        upstream=config.link_upstream,
        access=RouteAccess.PUBLIC,
        timeout=TimeoutClass.STREAM,
        below=False,
    )
    asked = [
        _route(route, config)
        for route in most_specific_first(config.routes)
        if any(route.path == path or route.path.startswith(f"{path}/") for path in DEVICE_PATHS)
    ]
    routes: list[Json] = [_route(line, config), *asked, _nothing_here()]
    return _table(LINK_ROUTES, config, config.link_hosts, routes)


def _table(name: str, config: EdgeConfig, hosts: tuple[str, ...], routes: list[Json]) -> Resource:
    public = tuple(host for host in hosts if host in config.public_hosts)
    others = tuple(host for host in hosts if host not in public)
    guards: Resource = {CORS_FILTER: _cors(config), RATE_LIMIT_FILTER: _limit_of_all(config)}
    limited: Resource = {"typed_per_filter_config": guards if name == PUBLIC_ROUTES else {}}
    virtual_hosts: list[Json] = [
        {"name": f"{name}-loopback", "domains": others, "routes": routes, **limited},
        {
            "name": f"{name}-public",
            "domains": public,
            "routes": routes,
            "response_headers_to_add": [_header("strict-transport-security", _STRICT_TRANSPORT)],
            **limited,
        },
    ]
    misdirected: Resource = {
        "name": f"{name}-unknown-host",
        "domains": ["*"],
        "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 421}}],
    }
    used = [host for host, names in zip(virtual_hosts, (others, public), strict=True) if names]
    return typed(
        _ROUTE_CONFIGURATION,
        name=name,
        ignore_port_in_host_matching=True,
        virtual_hosts=[*used, misdirected],
        request_headers_to_remove=_HIDDEN_REQUEST_HEADERS,
        response_headers_to_remove=_HIDDEN_RESPONSE_HEADERS,
        response_headers_to_add=[_header(key, value) for key, value in _RESPONSE_HEADERS.items()],
        max_direct_response_body_size_bytes=4_096,
    )


def most_specific_first(routes: Iterable[Route]) -> list[Route]:
    """Order so that the first match is the closest one."""
    return sorted(routes, key=lambda route: (-len(route.path), route.path))


def path_match(route: Route) -> Resource:
    """Match the path itself and, where the route says so, what lies below it."""
    if not route.below:
        return {"path": route.path}
    return {"path_separated_prefix": route.path}


def _route(route: Route, config: EdgeConfig) -> Json:
    action: Resource = {"cluster": route.upstream, "timeout": route.timeout.value}
    if route.timeout is TimeoutClass.STREAM:
        action["idle_timeout"] = f"{config.silent_stream_s}s"
        action["upgrade_configs"] = [{"upgrade_type": "websocket"}]
    line: Resource = {"name": route.path, "match": path_match(route), "route": action}
    guards: Resource = {BODY_FILTER: _body_limit(route)}
    if route.access is RouteAccess.GUESSED:
        guards[RATE_LIMIT_FILTER] = _auth_limit(config)
    line["typed_per_filter_config"] = guards
    return line


def _body_limit(route: Route) -> Resource:
    """A body is taken in whole, so that a slow sender holds the edge's memory and no service."""
    kind = "extensions.filters.http.buffer.v3.BufferPerRoute"
    if route.timeout is TimeoutClass.STREAM:
        return typed(kind, disabled=True)
    return typed(kind, buffer={"max_request_bytes": route.body_limit_bytes})


def _cors(config: EdgeConfig) -> Resource:
    """Preflights are answered here; without a named origin every answer is a refusal."""
    return typed(
        "extensions.filters.http.cors.v3.CorsPolicy",
        allow_origin_string_match=[{"exact": origin} for origin in config.cors_origins],
        allow_methods="GET, POST, PUT, DELETE",
        allow_headers="authorization, dpop, content-type, idempotency-key, traceparent",
        expose_headers="x-request-id, traceparent, retry-after, ratelimit, ratelimit-policy",
        max_age="600",
        allow_credentials=False,
        forward_not_matching_preflights=False,
        filter_enabled=always(),
    )


def _limit_of_all(config: EdgeConfig) -> Resource:
    """Coarse and per address; what a person or organisation may do, services count exactly."""
    return typed(
        _RATE_LIMIT,
        stat_prefix="all",
        filter_enabled=always(),
        filter_enforced=always(),
        token_bucket=_bucket(_UNLIMITED),
        max_dynamic_descriptors=config.limits.tracked_addresses,
        rate_limits=[{"actions": [{"masked_remote_address": _CUSTOMER}]}],
        descriptors=[
            {
                "entries": [{"key": "masked_remote_address"}],
                "token_bucket": _bucket(config.limit_per_address),
            }
        ],
        response_headers_to_add=[_header("retry-after", "1")],
    )


def _auth_limit(config: EdgeConfig) -> Resource:
    return typed(
        _RATE_LIMIT,
        stat_prefix="auth",
        filter_enabled=always(),
        filter_enforced=always(),
        token_bucket=_bucket(config.auth_limit_total),
        max_dynamic_descriptors=config.limits.tracked_addresses,
        rate_limits=[{"actions": [{"masked_remote_address": _CUSTOMER}]}],
        descriptors=[
            {
                "entries": [{"key": "masked_remote_address"}],
                "token_bucket": _bucket(config.auth_limit_per_address),
            }
        ],
        response_headers_to_add=[_header("retry-after", "60")],
    )


def _bucket(limit: RateLimit) -> Resource:
    """Filled at most twenty times a second: Envoy takes no interval below 50 ms."""
    tokens = ceil(limit.per_minute / _FILLS_PER_MINUTE)
    return {
        "max_tokens": limit.burst,
        "tokens_per_fill": tokens,
        "fill_interval": f"{60 * tokens / limit.per_minute:.3f}s",
    }


def _header(key: str, value: str) -> Json:
    return {"header": {"key": key, "value": value}, "append_action": "ADD_IF_ABSENT"}


def _nothing_here() -> Json:
    return {"match": {"prefix": "/"}, "direct_response": {"status": 404}}
