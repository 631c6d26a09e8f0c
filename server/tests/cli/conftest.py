"""The command line as a person runs it, against a real administration socket and a real server."""

import asyncio
import json
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import SystemIdFactory
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.server.authority.installation import initialise
from aitrading.server.cli import main
from aitrading.server.supervisor.admin import AdminServer
from aitrading.server.supervisor.state import PlatformState

Run = Callable[..., Result]


@pytest.fixture
def home() -> Iterator[Path]:
    """A home whose path is short enough for a socket, wherever the tests' own folder is."""
    with tempfile.TemporaryDirectory(prefix="ait-") as name:
        folder = Path(name)
        (folder / "run").mkdir(mode=0o700)
        (folder / "logs").mkdir()
        (folder / "trust").mkdir()
        yield folder


@pytest.fixture
def run(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in the home and give its result; an exception is a failure."""
    monkeypatch.setenv("AITRADING_HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("AITRADING_TOKEN", raising=False)

    def invoke(*arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(main, list(arguments), input=stdin, catch_exceptions=False)

    return invoke


@dataclass
class Supervisor:
    """Answers on the administration socket as a test tells it to, and remembers what was asked."""

    url: str = ""
    answers: dict[str, Any] = field(default_factory=dict)
    calls: list[Mapping[str, Any]] = field(default_factory=list)
    health: PlatformState | None = None

    async def overall(self, arguments: Mapping[str, Any]) -> object:
        return self.health or await self.status(arguments)

    async def status(self, _: Mapping[str, Any]) -> object:
        return PlatformState(ready=True, started_in_s=1.0, services={}, engines={}, url=self.url)

    async def call(self, arguments: Mapping[str, Any]) -> object:
        self.calls.append(arguments)
        answer = self.answers[f"{arguments['method']} {arguments['path']}"]
        if isinstance(answer, AitradingError):
            raise answer
        return answer


@pytest.fixture
def supervisor(home: Path) -> Iterator[Supervisor]:
    supervisor = Supervisor()
    with _in_thread(lambda: _administer(home, supervisor)):
        yield supervisor


async def _administer(home: Path, supervisor: Supervisor) -> AdminServer:
    answers = {
        "status": supervisor.status,
        "health": supervisor.overall,
        "call": supervisor.call,
    }
    server = AdminServer(home / "run" / "admin.sock", answers)
    await server.start()
    return server


@contextmanager
def _in_thread(start: Callable[[], Any]) -> Iterator[None]:
    """Run a server in an event loop of its own until the test is over."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(start(), loop).result(60)
    try:
        yield
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(60)
        loop.close()


@dataclass
class Api:
    """A server behind the installation's own certificate."""

    url: str
    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    seen: list[tuple[str, str, dict[str, str], Any]] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        length = int(self.headers.get("content-length", "0"))
        body = json.loads(self.rfile.read(length)) if length else None
        api: Api = self.server.api  # type: ignore[attr-defined]
        headers = {key.lower(): value for key, value in self.headers.items()}
        api.seen.append((self.command, self.path, headers, body))
        status, content = api.answers[f"{self.command} {self.path.partition('?')[0]}"]
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_POST = do_GET  # noqa: N815 - the name that the base class calls
    do_DELETE = do_GET  # noqa: N815 - the name that the base class calls
    do_PUT = do_GET  # noqa: N815 - the name that the base class calls

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def api(home: Path, supervisor: Supervisor) -> Iterator[Api]:
    clock = SystemClock()
    authority = initialise(home, clock, SystemIdFactory(clock, SystemRandomness()))
    issued = authority.issue_edge(("localhost",))
    files = home / "edge.pem", home / "edge.key"
    files[0].write_bytes(issued.certificate_pem)
    files[1].write_bytes(issued.private_key_pem.reveal())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.api = Api(url=f"https://localhost:{server.server_port}")  # type: ignore[attr-defined]
        supervisor.url = server.api.url  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.api  # type: ignore[attr-defined]
        server.shutdown()
        thread.join(60)
