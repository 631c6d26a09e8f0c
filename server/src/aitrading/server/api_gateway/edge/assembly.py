"""From what the supervisor and the operator said to an `EdgeConfig`: the installation's routes."""

from collections.abc import Callable, Iterable, Mapping
from importlib import resources
from pathlib import Path

import msgspec

from aitrading.core.infrastructure.service_registry import PublishedRoute, ServiceRecord
from aitrading.core.logging.optimized_log_router import get_logger
from aitrading.core.security.claims import ISSUER, USER_AUDIENCE
from aitrading.server.api_gateway.edge.admission import (
    Refusal,
    RouteBook,
    Routes,
)
from aitrading.server.api_gateway.edge.config import (
    EdgeConfig,
    RateLimit,
    Route,
    Site,
    TimeoutClass,
    TokenRules,
    Upstream,
    is_address,
)
from aitrading.server.api_gateway.settings import GatewaySettings
from aitrading.server.authority.site_certificates import SiteCertificate
from aitrading.server.authority.site_chain import covered
from aitrading.server.kit.admitted_services import ADMITTED_FILE, read_admitted
from aitrading.server.kit.authentication import ACCESS_COOKIE
from aitrading.server.kit.bundle import ServiceBundle
from aitrading.server.policy import edge_policy
from aitrading.server.policy.service_names import STREAM_SUFFIX

GATEWAY = "api-gateway"
BRIDGE = "data-bridge"
STREAMS = BRIDGE + STREAM_SUFFIX

_log = get_logger(__name__)


def declared_routes() -> dict[str, Routes]:
    """What the services of this release declare, written from their declarations by `make docs`."""
    text = resources.files(__package__ or "").joinpath("declared_routes.json").read_bytes()
    return msgspec.json.decode(text, type=dict[str, Routes])


class RegisteredEdge:
    """Makes the edge's configuration from the services registered and admitted at that moment."""

    def __init__(
        self,
        bundle: ServiceBundle,
        settings: GatewaySettings,
        registered: Callable[[], Iterable[ServiceRecord]],
        installed: Callable[[], SiteCertificate | None],
    ) -> None:
        self._bundle = bundle
        self._settings = settings
        self._registered = registered
        self._installed = installed
        self._book = RouteBook(edge_policy(), declared_routes())
        self._refused: frozenset[Refusal] = frozenset()

    def __call__(self) -> EdgeConfig:
        """The edge as it is to be now.

        Raises EDGE_CONFIG_INVALID, SERVICES_FILE_DAMAGED, or what a damaged certificate raises.
        """
        guests = read_admitted(self._bundle.home / ADMITTED_FILE)
        admission = self._book.take(self._registered(), {guest.name for guest in guests})
        refused = frozenset(admission.refused)
        for each in refused - self._refused:
            _log.warning(
                "the edge opens nothing for %s at %s: %s", each.service, each.path, each.reason
            )
        self._refused = refused
        site = site_of(self._settings, self._installed())
        return edge_of(self._bundle, self._settings, admission.services, site)


def site_of(settings: GatewaySettings, installed: SiteCertificate | None) -> Site | None:
    """What is shown of an installed certificate: it, under those names of ours that it is for."""
    if installed is None:
        return None
    named = [host for host in settings.hosts if not is_address(host)]
    names = covered(named, installed.info.dns_names)
    return Site(names=names, pem=installed.pem) if names else None


def edge_of(
    bundle: ServiceBundle,
    settings: GatewaySettings,
    services: Mapping[str, Routes],
    site: Site | None = None,
) -> EdgeConfig:
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
        upstreams=_upstreams(bundle.listener.socket.parent, services),
        routes=routes_of(services),
        link_upstream=STREAMS,
        auth_limit_per_address=RateLimit(
            burst=settings.login_burst, per_minute=settings.logins_per_minute
        ),
        auth_limit_total=RateLimit(
            burst=settings.login_burst * 10, per_minute=settings.logins_per_minute * 20
        ),
        limit_per_address=RateLimit(
            burst=settings.requests_burst, per_minute=settings.requests_per_minute
        ),
        cors_origins=settings.cors_origins,
        silent_stream_s=settings.silent_stream_s,
        site=site,
    )


def routes_of(services: Mapping[str, Routes]) -> tuple[Route, ...]:
    """The route table's lines."""
    return tuple(_route(name, each) for name, routes in services.items() for each in routes)


def _upstreams(run: Path, services: Mapping[str, Routes]) -> tuple[Upstream, ...]:
    """Every service answers on a socket of its name in the run folder, its streams beside it."""
    names = sorted(services)
    streams = sorted({BRIDGE, *(name for name in names if any(r.stream for r in services[name]))})
    return (
        *(Upstream(name=name, socket=run / f"{name}.sock") for name in names),
        *(
            Upstream(
                name=name + STREAM_SUFFIX,
                socket=run / f"{name}{STREAM_SUFFIX}.sock",
                health_path=None,
                max_connections=20_000,
                max_requests=20_000,
            )
            for name in streams
        ),
    )


def _route(service: str, published: PublishedRoute) -> Route:
    return Route(
        path=published.path,
        upstream=service + STREAM_SUFFIX if published.stream else service,
        access=published.access,
        timeout=_timeout(published),
        below=published.below,
        body_limit_bytes=published.body_limit_bytes,
    )


def _timeout(published: PublishedRoute) -> TimeoutClass:
    if published.stream:
        return TimeoutClass.STREAM
    classes = (TimeoutClass.FAST, TimeoutClass.NORMAL)
    fitting = (each for each in classes if published.timeout_s <= int(each.removesuffix("s")))
    return next(fitting, TimeoutClass.HEAVY)
