"""Which services are reachable from outside, and where: what they declare, held to the policy.

A registration never says where requests go: the edge reaches a service at the socket of its name
in the platform's private folder. It never takes a path either: a path has one owner. So the worst
that a forged registration does is to close paths of the service whose name it bears.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from aitrading.core.infrastructure.service_registry import (
    PublishedRoute,
    RouteAccess,
    ServiceRecord,
)
from aitrading.server.policy import EdgePolicy
from aitrading.server.policy.service_names import MAX_SERVICE_NAME_CHARS, objection_to_name

_PATH: Final = re.compile(r"/|(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)+")
_MAX_TIMEOUT_S: Final = 60

Routes = tuple[PublishedRoute, ...]


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A route, or a whole service, that stays closed."""

    service: str
    path: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Admission:
    """What the edge opens, by name of the service, and what it refuses."""

    services: Mapping[str, Routes]
    refused: tuple[Refusal, ...] = ()


class RouteBook:
    """Follows the registry; a service that has gone keeps its routes, which then answer 503.

    One that is neither of this release nor admitted has none, whether it still runs or not.
    `declared` is what the services of this release declare: they are known before they register.
    """

    def __init__(self, policy: EdgePolicy, declared: Mapping[str, Routes]) -> None:
        self._policy = policy
        self._declared = declared
        self._known: dict[str, Routes] = dict(declared)

    def take(self, records: Iterable[ServiceRecord], admitted_names: Collection[str]) -> Admission:
        """Learn from everything that is registered now, of those who are admitted now."""
        for name in [each for each in self._known if each not in self._declared]:
            if name not in admitted_names:
                del self._known[name]
        live = {record.name: record.routes for record in sorted(records, key=_started)}
        refused: list[Refusal] = []
        for name, routes in live.items():
            if not routes and name not in self._known:
                continue
            if reason := self._unwelcome(name, admitted_names):
                shown = name[:MAX_SERVICE_NAME_CHARS]
                refused.append(Refusal(service=shown, path="", reason=reason))
            else:
                self._known[name] = routes
        services: dict[str, Routes] = {}
        for name, routes in self._known.items():
            services[name], closed = admitted(self._policy, name, routes)
            refused += closed
        return Admission(services=services, refused=tuple(refused))

    def _unwelcome(self, name: str, admitted_names: Collection[str]) -> str | None:
        """Why a service gets no place at all."""
        if name in self._known:
            return None
        if name not in admitted_names:
            return "nobody admitted it"
        if len(self._known) >= self._policy.admission.max_services:
            return "there are as many services as the policy allows"
        return objection_to_name(name)


def admitted(policy: EdgePolicy, name: str, routes: Routes) -> tuple[Routes, list[Refusal]]:
    """What of a service's routes the policy opens, and why the rest stays closed."""
    opened: list[PublishedRoute] = []
    refused: list[Refusal] = []
    for route in routes:
        reason = _objection(policy, name, route)
        if reason is None and len(opened) >= policy.admission.max_routes:
            reason = "it is one more than the policy allows"
        if reason is None:
            opened.append(route)
        else:
            path = route.path[: policy.admission.max_path_chars]
            refused.append(Refusal(service=name, path=path, reason=reason))
    return tuple(opened), refused


def owner_of(policy: EdgePolicy, path: str) -> str | None:
    """The service that the closest named path gives `path` to; None when no name covers it."""
    closest = max(
        (
            (len(owned), name)
            for name, paths in policy.owners.items()
            for owned in paths
            if _covers(owned, path)
        ),
        default=None,
    )
    return closest[1] if closest else None


def _objection(policy: EdgePolicy, name: str, route: PublishedRoute) -> str | None:
    limits = policy.admission
    if len(route.path) > limits.max_path_chars or not _PATH.fullmatch(route.path):
        return "it is no path that can have one meaning only"
    if not 0 < route.body_limit_bytes <= limits.max_body_bytes:
        return f"bodies of {route.body_limit_bytes} bytes are beyond the policy's limit"
    if not 0 < route.timeout_s <= _MAX_TIMEOUT_S:
        return f"{route.timeout_s} s is no time that the edge waits"
    return _not_its_own(policy, name, route)


def _not_its_own(policy: EdgePolicy, name: str, route: PublishedRoute) -> str | None:
    owner = owner_of(policy, route.path)
    if owner is None and _covers(f"{policy.admission.own_prefix}/{name}", route.path):
        owner = name
    if owner != name:
        return f"it belongs to {owner}" if owner else "nobody may open it"
    if route.below and (other := _within(policy, name, route.path)):
        return f"{other} below it is not its own"
    if name not in policy.owners and route.access is not RouteAccess.TOKEN:
        return "only services that the policy names answer without a token"
    return None


def _within(policy: EdgePolicy, name: str, path: str) -> str | None:
    """A path of somebody else's that "everything below" would take too."""
    foreign = (owned for other, paths in policy.owners.items() if other != name for owned in paths)
    return next((owned for owned in foreign if _covers(path, owned)), None)


def _covers(owned: str, path: str) -> bool:
    return path == owned or (owned != "/" and path.startswith(f"{owned}/"))


def _started(record: ServiceRecord) -> int:
    """Of several instances the one that started last speaks."""
    return record.started_ns
