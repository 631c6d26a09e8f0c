"""What one process tells about itself: `/health` and `/metrics`, and one call site in both."""

import http.client
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from aitrading.core.infrastructure.call_sites import CallSite

ACTS = "aitrading_recovery_acts_total"
ACTIVE = "aitrading_recovery_active"
PROBE_TIMEOUT_S = 20.0


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, timeout_s: float = PROBE_TIMEOUT_S) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A whole answer."""

    status: int
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    connection: http.client.HTTPConnection,
    path: str,
    *,
    method: str = "GET",
    body: Any = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """One request on a connection of its own."""
    sent = dict(headers or {})
    content = None
    if body is not None:
        content = json.dumps(body)
        sent["content-type"] = "application/json"
    try:
        connection.request(method, path, body=content, headers=sent)
        response = connection.getresponse()
        return Answer(status=response.status, body=response.read())
    finally:
        connection.close()


@dataclass(frozen=True, kw_only=True)
class SiteView:
    """One call site, as `/health` and `/metrics` of a process show it."""

    acts: int
    active: bool
    last_error: str | None
    counted: float
    gauge: float


def site_view(site: CallSite, report: Mapping[str, Any], metrics: str) -> SiteView:
    """Read a site out of both documents; `KeyError` when the process does not show it."""
    told = report["resilience"]["recovery"][site.name]
    labels = {"site": site.name, "strategy": str(site.strategy)}
    return SiteView(
        acts=told["acts"],
        active=told["active"],
        last_error=told["last_error"],
        counted=sample(metrics, ACTS, labels),
        gauge=sample(metrics, ACTIVE, labels),
    )


def sample(metrics: str, name: str, labels: Mapping[str, str]) -> float:
    """One value of a Prometheus text."""
    for family in text_string_to_metric_families(metrics):
        for found in family.samples:
            if found.name == name and found.labels == labels:
                return float(found.value)
    raise KeyError((name, dict(labels)))


def has_acted(before: SiteView, now: SiteView) -> bool:
    """Whether health and metrics both tell of an act since `before`."""
    return now.acts > before.acts and now.counted > before.counted


def require_acted(site: CallSite, before: SiteView, now: SiteView) -> None:
    """The one assertion of every recovery test."""
    assert has_acted(before, now), f"{site.name} did not act: {before} then {now}"


def is_at_rest(now: SiteView) -> bool:
    """Whether the site does not act any more."""
    return not now.active and now.gauge == 0
