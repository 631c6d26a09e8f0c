"""The edge routes exactly what the services declare: no endpoint is unreachable, none too open."""

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType

import pytest

from aitrading.core.infrastructure.service_registry import RouteAccess
from aitrading.server.api_gateway.edge.admission import RouteBook
from aitrading.server.api_gateway.edge.assembly import (
    BRIDGE,
    GATEWAY,
    STREAMS,
    declared_routes,
    routes_of,
)
from aitrading.server.api_gateway.edge.config import Route
from aitrading.server.api_gateway.edge.routes import most_specific_first
from aitrading.server.kit.endpoints import INTERNAL_PREFIX, Endpoint
from aitrading.server.kit.openapi import declared_endpoints
from aitrading.server.policy import edge_policy

ROOMS = {
    "api_gateway": GATEWAY,
    "data_bridge": BRIDGE,
    "trading_engine": "trading-engine",
    "database_service": "database-service",
}
ADMISSION = RouteBook(edge_policy(), declared_routes()).take([], ())
ROUTES = routes_of(ADMISSION.services)


def modules() -> Iterator[ModuleType]:
    for room in ROOMS:
        package = importlib.import_module(f"aitrading.server.{room}")
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.endswith("__main__"):
                yield importlib.import_module(found.name)


def declared() -> list[tuple[str, Endpoint]]:
    return [(name.split(".")[2], each) for name, each in declared_endpoints(modules())]


PUBLIC = [(room, each) for room, each in declared() if not each.path.startswith(INTERNAL_PREFIX)]


def route_of(path: str) -> Route | None:
    """The route that Envoy would choose; a path field is any one segment."""
    for route in most_specific_first(ROUTES):
        if path == route.path or (route.below and path.startswith(route.path.rstrip("/") + "/")):
            return route
    return None


@pytest.mark.parametrize(
    ("room", "endpoint"),
    PUBLIC,
    ids=[f"{each.method} {each.path}" for _, each in PUBLIC],
)
def test_every_endpoint_is_routed_to_its_service_with_its_access(
    room: str, endpoint: Endpoint
) -> None:
    route = route_of(endpoint.path)
    assert route is not None
    assert route.upstream == ROOMS[room]
    assert (route.access is RouteAccess.TOKEN) is not endpoint.access.public
    assert route.body_limit_bytes >= endpoint.body_limit_bytes
    assert float(route.timeout.removesuffix("s")) >= endpoint.timeout_s


def test_the_policy_opens_everything_that_this_release_declares() -> None:
    assert not ADMISSION.refused
    assert set(ADMISSION.services) == set(ROOMS.values())


def test_no_internal_path_is_routed() -> None:
    assert any(each.path.startswith(INTERNAL_PREFIX) for _, each in declared())
    assert not [route for route in ROUTES if route.path.startswith("/internal")]


def test_streams_and_links_have_their_own_upstream() -> None:
    streams = [route for route in ROUTES if route.upstream == STREAMS]
    assert [route.path for route in streams] == ["/api/v1/stream"]
    assert streams[0].access is RouteAccess.TOKEN


def test_guessing_is_limited_where_it_pays() -> None:
    for path in ("login", "link", "refresh"):
        route = route_of(f"/api/v1/auth/{path}")
        assert route is not None
        assert route.access is RouteAccess.GUESSED
    for path in ("enroll", "renew"):
        route = route_of(f"/api/v1/devices/{path}")
        assert route is not None
        assert route.access is RouteAccess.GUESSED
