"""The embedded Envoy: bootstrap only. What it serves comes from files the api-gateway writes."""

import http.client
import json
import os
import socket
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from typing_extensions import override

from aitrading.core.security.own_authority import ask_for_own_certificate
from aitrading.server.engines.binaries import envoy_binary
from aitrading.server.engines.files import write_private
from aitrading.server.engines.http_probe import HttpTarget, http_status
from aitrading.server.engines.process import Launch
from aitrading.server.policy import EdgeLimits, edge_policy

NAME = "envoy"
CLUSTERS_FILE = "cds.json"
LISTENERS_FILE = "lds.json"
ADMIN_SOCKET = "envoy-admin.sock"
HTTP_OK = 200
SERVER_ERROR = 500
FLUSH_EVERY_MS = 1_000
"""So late the records of the access log are at most; Envoy's own choice is ten seconds."""
STATS_TIMEOUT_S = 2.0
STATS_LIMIT_BYTES = 4 << 20
TOLD = (
    r"^(cluster|http)\..*(upstream|downstream)_(rq|cx)_"
    r"(total|active|[1-5]xx|timeout|destroy|overload_reject|ssl_total|rx_reset|connect_fail)$"
    r"|^connection_limit\..*_connections$"
    r"|^server\.(uptime|memory_allocated|total_connections)$"
)
"""Which of Envoy's thousands of numbers are kept; the rest is on its own `/stats`."""

_TYPES = "type.googleapis.com/envoy.extensions.resource_monitors"
_HEAP = "envoy.resource_monitors.fixed_heap"
_CONNECTIONS = "envoy.resource_monitors.global_downstream_max_connections"
_WHEN_FULL = {
    "disable_http_keepalive": 0.85,
    "shrink_heap": 0.9,
    "stop_accepting_requests": 0.95,
    "stop_accepting_connections": 0.98,
}
"""What the edge gives up, at which share of its heap, before the machine would end it."""


@dataclass(frozen=True, kw_only=True)
class EnvoySetup:
    """Where Envoy runs and how its front door is probed."""

    run_folder: Path
    xds_folder: Path
    host: str
    port: int
    server_name: str
    probe_path: str
    edge_ca: Path
    workers: int = 1
    limits: EdgeLimits = field(default_factory=lambda: edge_policy().limits)


class EnvoyEngine:
    """The edge process; `xds_folder` must hold its resources before it starts."""

    name = NAME

    def __init__(self, setup: EnvoySetup) -> None:
        self._setup = setup
        self._bootstrap = setup.run_folder / "envoy.json"
        self._admin_socket = setup.run_folder / ADMIN_SOCKET

    async def prepare(self) -> None:
        """Write the bootstrap; listeners, routes and clusters are none of its business."""
        self._setup.xds_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._admin_socket.unlink(missing_ok=True)
        write_private(self._bootstrap, json.dumps(self._bootstrap_config(), indent=1).encode())

    def launch(self) -> Launch:
        """One process without hot restart: a new one takes over after the old one ended."""
        return Launch(
            command=(
                str(envoy_binary()),
                "--config-path",
                str(self._bootstrap),
                "--disable-hot-restart",
                "--concurrency",
                str(self._setup.workers),
                "--log-level",
                "warning",
                "--file-flush-interval-msec",
                str(FLUSH_EVERY_MS),
            ),
            environment={"LC_ALL": "C.UTF-8", "PATH": os.defpath},
            folder=self._setup.xds_folder,
        )

    async def ready(self) -> bool:
        """Envoy says so itself, and a request of a user gets through its front door."""
        setup = self._setup
        if not (self._admin_socket.exists() and setup.edge_ca.exists()):
            return False
        if await http_status(HttpTarget(socket=self._admin_socket), "/ready") != HTTP_OK:
            return False
        door = HttpTarget(
            host=setup.host,
            port=setup.port,
            tls=ask_for_own_certificate(ssl.create_default_context(cafile=str(setup.edge_ca))),
            server_name=setup.server_name,
        )
        return await http_status(door, setup.probe_path) in range(HTTP_OK, SERVER_ERROR)

    async def settle(self) -> None:
        """Nothing to do."""

    def _bootstrap_config(self) -> dict[str, object]:
        return {
            "node": {"id": "edge-1", "cluster": "edge"},
            "admin": {"address": {"pipe": {"path": str(self._admin_socket), "mode": 0o600}}},
            "dynamic_resources": {
                "cds_config": self._watched(CLUSTERS_FILE),
                "lds_config": self._watched(LISTENERS_FILE),
            },
            "overload_manager": overload_manager(self._setup.limits),
        }

    def _watched(self, name: str) -> dict[str, object]:
        folder = self._setup.xds_folder
        return {
            "resource_api_version": "V3",
            "path_config_source": {
                "path": str(folder / name),
                "watched_directory": {"path": str(folder)},
            },
        }


def overload_manager(limits: EdgeLimits) -> dict[str, object]:
    """A flood makes the edge refuse, in steps, and never end."""
    return {
        "refresh_interval": "0.25s",
        "resource_monitors": [
            {
                "name": _HEAP,
                "typed_config": {
                    "@type": f"{_TYPES}.fixed_heap.v3.FixedHeapConfig",
                    "max_heap_size_bytes": limits.max_heap_mb << 20,
                },
            },
            {
                "name": _CONNECTIONS,
                "typed_config": {
                    "@type": f"{_TYPES}.downstream_connections.v3.DownstreamConnectionsConfig",
                    "max_active_downstream_connections": limits.max_connections,
                },
            },
        ],
        "actions": [
            {
                "name": f"envoy.overload_actions.{action}",
                "triggers": [{"name": _HEAP, "threshold": {"value": share}}],
            }
            for action, share in _WHEN_FULL.items()
        ],
    }


class EnvoyStats:
    """What Envoy counts, as Prometheus text; asked of the administration socket."""

    def __init__(self, run_folder: Path) -> None:
        self._socket = run_folder / ADMIN_SOCKET

    def text(self) -> bytes | None:
        """None when it does not answer; blocks for `STATS_TIMEOUT_S` at most."""
        connection = _UnixConnection(self._socket)
        try:
            connection.request("GET", f"/stats/prometheus?usedonly&filter={quote(TOLD)}")
            response = connection.getresponse()
            text = response.read(STATS_LIMIT_BYTES)
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        return text if response.status == HTTP_OK else None


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=STATS_TIMEOUT_S)
        self._path = path

    @override
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(STATS_TIMEOUT_S)
        self.sock.connect(str(self._path))
