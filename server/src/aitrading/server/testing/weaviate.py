"""A real Weaviate with an API key, behind TLS 1.3: it speaks plain HTTP by itself.

`scripts/test_servers.sh` builds the program once; where it is not, tests skip with the reason.
"""

import os
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Final

from aitrading.server.supervisor.ports import free_port
from aitrading.server.testing.tls_front import TlsFront, tls_front

VERSION: Final = "1.39.0"
API_KEY: Final = "of-this-test-only"  # pragma: allowlist secret
SERVERS_VARIABLE: Final = "AITRADING_SERVERS"
"""The folder with the programs of real servers; `~/.cache/aitrading/servers` without it."""
_START_TIMEOUT_S: Final = 60.0
_READY: Final = 200


@dataclass
class RunningWeaviate:
    """One server: where it is, and how to take it away."""

    url: str
    front: TlsFront


def servers_folder() -> Path:
    """Where the programs of real servers are kept."""
    chosen = os.environ.get(SERVERS_VARIABLE)
    return Path(chosen) if chosen else Path.home() / ".cache" / "aitrading" / "servers"


def program() -> Path:
    """The server's program, whether it is there or not."""
    return servers_folder() / f"weaviate-{VERSION}" / "weaviate-server"


def weaviate_missing() -> str:
    """Why there is no server; empty when there is one."""
    there = os.access(program(), os.X_OK)
    return "" if there else f"{program()} is not built (make test-servers builds it)"


@contextmanager
def running_weaviate(folder: Path) -> Generator[RunningWeaviate]:
    """Run it for the block on free ports, with its data in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = (str(program()), "--host", "127.0.0.1", "--port", str(port), "--scheme", "http")
    with (folder / "weaviate.log").open("ab") as log:
        process = subprocess.Popen(command, env=_environment(folder), stdout=log, stderr=log)  # noqa: S603 - ours
        try:
            _wait(process, port, folder / "weaviate.log")
            with tls_front(folder, port, "weaviate") as front:
                ca = front.files.ca
                url = f"https://:{API_KEY}@localhost:{front.port}?sslrootcert={ca}"
                yield RunningWeaviate(url=url, front=front)
        finally:
            process.terminate()
            process.wait(timeout=20)


def _environment(folder: Path) -> dict[str, str]:
    """One node that hears only itself and lets nobody in without the key."""
    gossip, raft = free_port(), free_port()
    return {
        "GRPC_PORT": str(free_port()),
        "CLUSTER_GOSSIP_BIND_PORT": str(gossip),
        "CLUSTER_DATA_BIND_PORT": str(gossip + 1),  # it looks for itself on the port after
        "RAFT_PORT": str(raft),
        "RAFT_INTERNAL_RPC_PORT": str(raft + 1),  # the same
        "HOME": str(folder),
        "PERSISTENCE_DATA_PATH": str(folder / "data"),
        "CLUSTER_IN_LOCALHOST": "true",
        "CLUSTER_HOSTNAME": "node1",
        "CLUSTER_ADVERTISE_ADDR": "127.0.0.1",
        "RAFT_BOOTSTRAP_EXPECT": "1",
        "DISABLE_TELEMETRY": "true",
        "GO_PROFILING_DISABLE": "true",
        "DEFAULT_VECTORIZER_MODULE": "none",
        "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED": "false",
        "AUTHENTICATION_APIKEY_ENABLED": "true",  # pragma: allowlist secret
        "AUTHENTICATION_APIKEY_ALLOWED_KEYS": API_KEY,  # pragma: allowlist secret
        "AUTHENTICATION_APIKEY_USERS": "aitrading",  # pragma: allowlist secret
        "AUTHORIZATION_ADMINLIST_ENABLED": "true",
        "AUTHORIZATION_ADMINLIST_USERS": "aitrading",
        "GOMAXPROCS": "2",
    }


def _wait(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    end = time.monotonic() + _START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < end:
        if _answers(port):
            return
        time.sleep(0.1)
    raise RuntimeError(f"Weaviate did not start: {log.read_text()[-2_000:]}")


def _answers(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/v1/.well-known/ready")
        return connection.getresponse().status == _READY
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
