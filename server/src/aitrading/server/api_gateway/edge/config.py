"""What the edge has to know, typed; nothing here knows Envoy."""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from aitrading.core.infrastructure.service_registry import RouteAccess
from aitrading.core.kit.errors import Category, ErrorSpec
from aitrading.core.kit.secret import Secret
from aitrading.server.policy import EdgeLimits, edge_policy

LINK_PREFIX = "link."
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})

EDGE_CONFIG_INVALID = ErrorSpec(
    code="EDGE_CONFIG_INVALID",
    category=Category.FATAL,
    message="the edge cannot be configured: {problem}",
    why="The edge's settings contradict each other or name something that is not there.",
    remedy="Correct the [gateway] section of aitrading.toml, then start again.",
)


_ORIGIN = re.compile(
    r"https://[a-z0-9.-]+(:[0-9]{1,5})?|http://(localhost|127\.0\.0\.1)(:[0-9]{1,5})?"
)
"""Exact ones only: no `*`, no `null`, and plain text from this machine alone."""


class TimeoutClass(StrEnum):
    """How long the edge waits for a service's complete answer."""

    FAST = "5s"
    NORMAL = "30s"
    HEAVY = "60s"
    STREAM = "0s"
    """No end: a WebSocket lives until a side closes it or it falls silent."""


@dataclass(frozen=True, kw_only=True)
class Upstream:
    """A service behind the edge and how much of it one edge may use."""

    name: str
    socket: Path
    health_path: str | None = "/health/live"
    """None probes the connection only."""
    max_connections: int = 512
    max_pending_requests: int = 512
    max_requests: int = 1024
    max_retries: int = 3


@dataclass(frozen=True, kw_only=True)
class Route:
    """One line of the route table: a path (or everything below it) and who answers it."""

    path: str
    upstream: str
    access: RouteAccess = RouteAccess.TOKEN
    timeout: TimeoutClass = TimeoutClass.NORMAL
    below: bool = True
    """Also the paths below, separated by `/`."""
    body_limit_bytes: int = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class RateLimit:
    """A token bucket; `burst` requests at once, refilled evenly."""

    burst: int
    per_minute: int


@dataclass(frozen=True, kw_only=True)
class TokenRules:
    """What the edge verifies of a user's token; services verify the rest."""

    issuer: str
    audience: str
    cookie: str
    jwks: str
    """The public keys as a JSON Web Key Set."""
    clock_skew_s: int = 5
    cached_tokens: int = 10_000
    max_token_bytes: int = 4_096


@dataclass(frozen=True, kw_only=True)
class Site:
    """A certificate of a public authority, and the names under which browsers are shown it."""

    names: tuple[str, ...]
    pem: Secret[bytes]
    """The chain and its key, as `EdgeConfig.site_file` is to hold them."""


@dataclass(frozen=True, kw_only=True)
class EdgeConfig:
    """Everything the edge's resources are made of."""

    address: str
    port: int
    hosts: tuple[str, ...]
    """Names the edge answers to; a request for any other name is misdirected."""
    certificate: Path
    private_key: Path
    device_ca: Path
    xds_folder: Path
    token: TokenRules
    upstreams: tuple[Upstream, ...]
    routes: tuple[Route, ...]
    link_upstream: str
    auth_limit_per_address: RateLimit = field(
        default_factory=lambda: RateLimit(burst=30, per_minute=60)
    )
    auth_limit_total: RateLimit = field(
        default_factory=lambda: RateLimit(burst=300, per_minute=1_200)
    )
    limit_per_address: RateLimit = field(
        default_factory=lambda: RateLimit(burst=2_000, per_minute=60_000)
    )
    cors_origins: tuple[str, ...] = ()
    """Other sites whose scripts may call with a token of their own; never with our cookie."""
    silent_stream_s: int = 90
    site: Site | None = None
    """None shows everybody the installation's own certificate."""
    limits: EdgeLimits = field(default_factory=lambda: edge_policy().limits)

    def __post_init__(self) -> None:
        known = {upstream.name for upstream in self.upstreams}
        asked = {route.upstream for route in self.routes} | {self.link_upstream}
        if missing := asked - known:
            raise EDGE_CONFIG_INVALID.error(problem=f"no upstream named {sorted(missing)}")
        if not self.hosts:
            raise EDGE_CONFIG_INVALID.error(problem="no host name to answer to")
        if not 0 < self.port < 1 << 16:
            raise EDGE_CONFIG_INVALID.error(problem=f"port {self.port} is not in 1-65535")
        for origin in self.cors_origins:
            if not _ORIGIN.fullmatch(origin):
                raise EDGE_CONFIG_INVALID.error(
                    problem=f"{origin} in gateway.cors_origins is no origin like https://HOST"
                )

    @property
    def site_file(self) -> Path:
        """Where Envoy finds the site's chain and key, replaced as one."""
        return self.xds_folder.parent / "site" / "site.pem"

    @property
    def named_hosts(self) -> tuple[str, ...]:
        """Hosts that are names: a greeting carries no address."""
        return tuple(host for host in self.hosts if not is_address(host))

    @property
    def link_hosts(self) -> tuple[str, ...]:
        """Names that demand a device certificate: `link.` before each host that is a name."""
        return tuple(LINK_PREFIX + host for host in self.named_hosts)

    @property
    def public_hosts(self) -> tuple[str, ...]:
        """Names that may tell browsers to insist on TLS; never a loopback name."""
        return tuple(host for host in self.hosts if host not in LOOPBACK_NAMES)

    @property
    def loopback_hosts(self) -> tuple[str, ...]:
        """Names that every machine has, shared with whatever else runs on it."""
        return tuple(host for host in self.hosts if host in LOOPBACK_NAMES)


def is_address(host: str) -> bool:
    """Tell whether a host is an address and no name."""
    return host.startswith("[") or host.replace(".", "").isdigit()
