"""What is declared is documented, and nothing else; what runs is what is documented."""

import re
import socket
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path

import pytest
from harness.platform import Platform
from typing_extensions import override

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
SERVICES = ("api-gateway", "data-bridge", "database-service", "trading-engine")
ROW = re.compile(r"^\| (?P<method>[A-Z]+) \| `(?P<path>/[^`]*)` \|", re.MULTILINE)
METRIC = re.compile(r"^\| `(\w+)` \|", re.MULTILINE)
FAMILY = re.compile(r"^# TYPE (?P<name>aitrading_\S+) ", re.MULTILINE)


def test_the_reference_says_what_the_code_says() -> None:
    """A stale page, an undocumented option, table or error fails here; `make docs` writes them."""
    command = [sys.executable, "scripts/generate_docs.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.e2e
@pytest.mark.timeout(360)
def test_the_running_platform_tells_the_documented_endpoints(platform: Platform) -> None:
    page = (REFERENCE / "endpoints.md").read_text(encoding="utf-8")
    documented = {(row["method"], row["path"]) for row in ROW.finditer(page)}
    public = {(method, path) for method, path in documented if not path.startswith("/internal")}
    told = platform.get("/openapi.json", person=None)["paths"]
    assert public == {(method.upper(), path) for path, item in told.items() for method in item}


@pytest.mark.e2e
@pytest.mark.timeout(360)
@pytest.mark.parametrize("service", SERVICES)
def test_a_running_service_tells_documented_metrics_only(platform: Platform, service: str) -> None:
    page = (REFERENCE / "metrics.md").read_text(encoding="utf-8")
    documented = set(METRIC.findall(page))
    documented |= {f"{name.removesuffix('_total')}_created" for name in documented}
    told = FAMILY.findall(metrics_of(platform.home / "run" / f"{service}.sock"))
    assert told
    assert set(told) - documented == set()


def metrics_of(listener: Path) -> str:
    connection = UnixConnection(listener)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return text


class UnixConnection(HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=10)
        self._path = path

    @override
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))
