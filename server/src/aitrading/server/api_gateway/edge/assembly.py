"""From what the supervisor and the operator said to an `EdgeConfig`: the installation's routes."""

from pathlib import Path

from aitrading.core.security.claims import ISSUER, USER_AUDIENCE
from aitrading.server.api_gateway.edge.config import (
    Access,
    EdgeConfig,
    RateLimit,
    Route,
    TimeoutClass,
    TokenRules,
    Upstream,
)
from aitrading.server.api_gateway.settings import GatewaySettings
from aitrading.server.kit.authentication import ACCESS_COOKIE
from aitrading.server.kit.bundle import ServiceBundle

GATEWAY = "api-gateway"
BRIDGE = "data-bridge"
STREAMS = "data-bridge-ws"
ENGINE = "trading-engine"
DATABASE = "database-service"

_FAST = TimeoutClass.FAST
_HEAVY = TimeoutClass.HEAVY

ROUTES = (
    Route(path="/", upstream=GATEWAY, access=Access.PUBLIC, below=False),
    Route(path="/login", upstream=GATEWAY, access=Access.PUBLIC, timeout=_FAST, below=False),
    Route(path="/docs", upstream=GATEWAY, access=Access.PUBLIC, timeout=_FAST, below=False),
    Route(path="/openapi.json", upstream=GATEWAY, access=Access.PUBLIC, below=False),
    Route(path="/static", upstream=GATEWAY, access=Access.PUBLIC, timeout=_FAST),
    Route(path="/health/live", upstream=GATEWAY, access=Access.PUBLIC, below=False),
    Route(path="/api/v1/health", upstream=GATEWAY, access=Access.PUBLIC, timeout=_FAST),
    Route(path="/api/v1/auth/login", upstream=GATEWAY, access=Access.AUTH, below=False),
    Route(path="/api/v1/auth/link", upstream=GATEWAY, access=Access.AUTH, below=False),
    Route(path="/api/v1/auth/refresh", upstream=GATEWAY, access=Access.AUTH, below=False),
    Route(path="/api/v1/auth", upstream=GATEWAY),
    Route(path="/api/v1/devices/trust", upstream=GATEWAY, access=Access.AUTH, below=False),
    Route(path="/api/v1/devices/enroll", upstream=GATEWAY, access=Access.AUTH, below=False),
    Route(path="/api/v1/devices/renew", upstream=GATEWAY, access=Access.AUTH, below=False),
    Route(path="/api/v1/devices", upstream=GATEWAY),
    Route(path="/api/v1/connections", upstream=GATEWAY),
    Route(path="/api/v1/platform", upstream=GATEWAY, timeout=_FAST),
    Route(path="/api/v1/services", upstream=GATEWAY, timeout=_FAST),
    Route(path="/api/v1/chains", upstream=GATEWAY, timeout=_FAST),
    Route(path="/api/v1/chain-graph", upstream=DATABASE),
    Route(path="/api/v1/stream", upstream=STREAMS, timeout=TimeoutClass.STREAM, below=False),
    Route(path="/api/v1/quotes", upstream=BRIDGE, timeout=_FAST),
    Route(path="/api/v1/feeds", upstream=BRIDGE, timeout=_FAST),
    Route(path="/api/v1/orders", upstream=ENGINE),
    Route(path="/api/v1/positions", upstream=ENGINE),
    Route(path="/api/v1/accounts", upstream=ENGINE),
    Route(path="/api/v1/risk", upstream=ENGINE),
    Route(path="/api/v1/signals", upstream=ENGINE),
    Route(path="/api/v1/kill", upstream=ENGINE, timeout=_FAST),
    Route(path="/api/v1/ticks", upstream=DATABASE, timeout=_HEAVY),
    Route(path="/api/v1/bars", upstream=DATABASE, timeout=_HEAVY),
    Route(path="/api/v1/logs", upstream=DATABASE, timeout=_HEAVY),
    Route(path="/api/v1/audit", upstream=DATABASE, timeout=_HEAVY),
    Route(path="/api/v1/security-events", upstream=DATABASE),
    Route(path="/api/v1/errors", upstream=DATABASE),
    Route(path="/api/v1/metrics", upstream=DATABASE),
    Route(path="/api/v1/store", upstream=DATABASE),
)
"""Who answers what. A path that is not here does not exist outside; `/internal` never is."""


def edge_of(bundle: ServiceBundle, settings: GatewaySettings) -> EdgeConfig:
    """The edge of this installation; raises EDGE_CONFIG_INVALID."""
    folder = bundle.home / "envoy"
    return EdgeConfig(
        address=settings.address,
        port=settings.port,
        hosts=settings.hosts,
        certificate=folder / "tls" / "edge.pem",
        private_key=folder / "tls" / "edge.key.pem",
        device_ca=bundle.home / "trust" / "device-ca.pem",
        xds_folder=folder / "xds",
        token=TokenRules(
            issuer=ISSUER,
            audience=USER_AUDIENCE,
            cookie=ACCESS_COOKIE,
            jwks=bundle.user_keys.read_text(encoding="utf-8"),
        ),
        upstreams=_upstreams(bundle.listener.socket.parent),
        routes=ROUTES,
        link_upstream=STREAMS,
        auth_limit_per_address=RateLimit(
            burst=settings.login_burst, per_minute=settings.logins_per_minute
        ),
        auth_limit_total=RateLimit(
            burst=settings.login_burst * 10, per_minute=settings.logins_per_minute * 20
        ),
        silent_stream_s=settings.silent_stream_s,
    )


def _upstreams(run: Path) -> tuple[Upstream, ...]:
    """Every service answers on a socket of its name in the run folder."""
    services = tuple(
        Upstream(name=name, socket=run / f"{name}.sock")
        for name in (GATEWAY, BRIDGE, ENGINE, DATABASE)
    )
    streams = Upstream(
        name=STREAMS,
        socket=run / f"{STREAMS}.sock",
        health_path=None,
        max_connections=20_000,
        max_requests=20_000,
    )
    return (*services, streams)
