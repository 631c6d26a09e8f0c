"""What a service asks to be reachable at from outside, made from what it declares."""

from collections.abc import Iterable

from aitrading.core.infrastructure.service_registry import PublishedRoute, RouteAccess
from aitrading.server.kit.authentication import SAFE_METHODS
from aitrading.server.kit.endpoints import INTERNAL_PREFIX, Endpoint


def published_routes(
    endpoints: Iterable[Endpoint], further: Iterable[PublishedRoute] = ()
) -> tuple[PublishedRoute, ...]:
    """One route for all endpoints that share the part of their path before the first field.

    What they share is granted to the neediest and guarded as the strictest asks: the longest
    timeout, the largest body, a token where any of them wants one.
    """
    found = {route.path: route for route in further}
    for each in endpoints:
        if not each.path.startswith(INTERNAL_PREFIX):
            route = _route(each)
            known = found.get(route.path)
            found[route.path] = route if known is None else _joined(known, route)
    return tuple(found[path] for path in sorted(found))


def _route(declared: Endpoint) -> PublishedRoute:
    fixed, field, _ = declared.path.partition("/{")
    return PublishedRoute(
        path=fixed,
        below=bool(field),
        access=_access(declared),
        timeout_s=round(declared.timeout_s),
        body_limit_bytes=declared.body_limit_bytes,
    )


def _access(declared: Endpoint) -> RouteAccess:
    if not declared.access.public:
        return RouteAccess.TOKEN
    return RouteAccess.PUBLIC if declared.method in SAFE_METHODS else RouteAccess.GUESSED


def _joined(one: PublishedRoute, other: PublishedRoute) -> PublishedRoute:
    return PublishedRoute(
        path=one.path,
        below=one.below or other.below,
        access=max(one.access, other.access, key=_STRICTNESS.index),
        timeout_s=max(one.timeout_s, other.timeout_s),
        body_limit_bytes=max(one.body_limit_bytes, other.body_limit_bytes),
        stream=one.stream or other.stream,
    )


_STRICTNESS = (RouteAccess.PUBLIC, RouteAccess.GUESSED, RouteAccess.TOKEN)
