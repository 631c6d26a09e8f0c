"""A real Envoy over throwaway certificates and small real services on Unix sockets."""

import base64
import hashlib
import http.client
import json
import shutil
import socket
import socketserver
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

from aitrading.core.infrastructure.service_registry import RouteAccess
from aitrading.server.api_gateway.edge.config import (
    EdgeConfig,
    RateLimit,
    Route,
    TimeoutClass,
    TokenRules,
    Upstream,
)
from aitrading.server.api_gateway.edge.xds import write_resources
from aitrading.server.supervisor.ports import free_port

ENVOY = shutil.which("envoy") or str(Path(__file__).parents[3] / ".venv/bin/envoy")
WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
COOKIE = "__Host-aitrading"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class _Service(BaseHTTPRequestHandler):
    """Echoes what arrived; `?hold=` answers late; an upgrade becomes a WebSocket echo."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.headers.get("upgrade", "").lower() == "websocket":
            self._websocket()
            return
        if self.path.startswith("/api/v1/slow"):
            self.server.held.wait(20)  # type: ignore[attr-defined]
        self.rfile.read(int(self.headers.get("content-length", "0")))
        status = int(self.headers.get("x-answer", "200"))
        self._send(status, {"path": self.path, "headers": dict(self.headers.items())})

    do_POST = do_GET  # noqa: N815 - the name that the base class calls

    def _send(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.send_header("x-powered-by", "test")
        self.end_headers()
        self.wfile.write(body)

    def _websocket(self) -> None:
        key = self.headers["sec-websocket-key"].encode()
        accept = base64.b64encode(hashlib.sha1(key + WEBSOCKET_GUID).digest()).decode()  # noqa: S324
        self.send_response(101)
        self.send_header("upgrade", "websocket")
        self.send_header("connection", "Upgrade")
        self.send_header("sec-websocket-accept", accept)
        self.end_headers()
        head = self.rfile.read(2)
        mask = self.rfile.read(4)
        data = self.rfile.read(head[1] & 0x7F)
        plain = bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))
        self.wfile.write(bytes([head[0], len(plain)]) + plain)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass

    def address_string(self) -> str:
        return "unix"


class _UnixServer(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, path: Path) -> None:
        self.held = threading.Event()
        super().__init__(str(path), _Service)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, _ = super().get_request()
        return connection, ("unix", 0)

    def handle_error(self, *_: object) -> None:
        pass


class Pki:
    """One authority with an edge certificate and what devices and strangers present."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"ca {folder.name}")])
        self.ca = self._write("ca", self._certificate(self._name, self._key, ca=True))

    def _certificate(
        self, subject: x509.Name, key: Any, *, names: tuple[x509.GeneralName, ...] = (), ca: bool
    ) -> x509.Certificate:
        now = datetime.now(UTC)  # noqa: TID251 - certificates are judged by Envoy's real clock
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256())

    def _write(self, stem: str, certificate: x509.Certificate) -> Path:
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        return self._replace(f"{stem}.pem", pem)

    def _replace(self, name: str, content: bytes) -> Path:
        fresh = self.folder / f"{name}.tmp"
        fresh.write_bytes(content)
        return fresh.rename(self.folder / name)

    def issue(self, stem: str, *names: x509.GeneralName) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, stem)])
        certificate = self._certificate(subject, key, names=names, ca=False)
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        key_path = self._replace(f"{stem}.key", pem)
        return self._write(stem, certificate), key_path


class Tokens:
    """Keys and tokens as the platform issues them, and as an attacker would."""

    def __init__(self) -> None:
        self._key = ed25519.Ed25519PrivateKey.generate()

    @property
    def jwks(self) -> str:
        public = {"kty": "OKP", "crv": "Ed25519", "kid": "k1", "alg": "EdDSA", "use": "sig"}
        public["x"] = b64url(self._key.public_key().public_bytes_raw())
        return json.dumps({"keys": [public]})

    def make(self, **changes: Any) -> str:
        now = int(time.time())  # noqa: TID251 - tokens are judged by Envoy's real clock
        claims = {
            "iss": "aitrading",
            "aud": "aitrading-api",
            "sub": "u",
            "exp": now + 600,
            "nbf": now - 5,
            **changes,
        }
        header = {"alg": "EdDSA", "typ": "at+jwt", "kid": "k1"}
        present = {key: value for key, value in claims.items() if value is not None}
        parts = [b64url(json.dumps(part).encode()) for part in (header, present)]
        signature = self._key.sign(".".join(parts).encode())
        return ".".join([*parts, b64url(signature)])


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class Edge:
    """A running Envoy and a client that speaks to it as a browser or a device would."""

    def __init__(self, folder: Path, config: EdgeConfig, pki: Pki, tokens: Tokens) -> None:
        self.folder = folder
        self.config = config
        self.pki = pki
        self.tokens = tokens
        self.servers: dict[str, _UnixServer] = {}
        self.output = folder / "envoy.out"

    def bootstrap(self) -> Path:
        def source(stem: str) -> dict[str, Any]:
            folder = str(self.config.xds_folder)
            return {
                "resource_api_version": "V3",
                "path_config_source": {
                    "path": f"{folder}/{stem}.json",
                    "watched_directory": {"path": folder},
                },
            }

        path = self.folder / "bootstrap.json"
        content = {
            "node": {"id": "edge", "cluster": "edge"},
            "admin": {
                "address": {"pipe": {"path": str(self.folder / "admin.sock"), "mode": 0o600}}
            },
            "dynamic_resources": {"cds_config": source("cds"), "lds_config": source("lds")},
        }
        path.write_text(json.dumps(content))
        return path

    def validate(self) -> subprocess.CompletedProcess[bytes]:
        command = [ENVOY, "--mode", "validate", "-c", str(self.bootstrap())]
        return subprocess.run(command, capture_output=True, check=False)

    def admin(self, path: str) -> str:
        with socket.socket(socket.AF_UNIX) as plain:
            plain.settimeout(5)
            plain.connect(str(self.folder / "admin.sock"))
            plain.sendall(f"GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".encode())
            return b"".join(iter(lambda: plain.recv(65536), b"")).decode()

    def context(self, device: tuple[Path, Path] | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.pki.ca))
        context.check_hostname = False
        if device is not None:
            context.load_cert_chain(*device)
        return context

    def connect(self, sni: str, context: ssl.SSLContext) -> ssl.SSLSocket:
        raw = socket.create_connection(("127.0.0.1", self.config.port), timeout=60)
        return context.wrap_socket(raw, server_hostname=sni)

    def request(
        self,
        path: str,
        *,
        method: str = "GET",
        sni: str = "localhost",
        host: str | None = None,
        headers: dict[str, str] | None = None,
        device: tuple[Path, Path] | None = None,
        body: bytes = b"",
    ) -> Answer:
        connection = http.client.HTTPConnection("edge")
        connection.sock = self.connect(sni, self.context(device))
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            connection.putheader("Host", host or sni)
            for key, value in (headers or {}).items():
                connection.putheader(key, value)
            if body:
                connection.putheader("content-length", str(len(body)))
            connection.endheaders(body or None)
            response = connection.getresponse()
            found = {key.lower(): value for key, value in response.getheaders()}
            return Answer(response.status, found, response.read())
        finally:
            connection.close()

    def record_of(self, told: str) -> list[dict[str, Any]]:
        """What the access log says of a request with this id or user agent, once it says anything."""

        def lines() -> list[str]:
            return [text for text in self.output.read_text().splitlines() if told in text]

        return [json.loads(line) for line in until(lines)]

    def serve(self, path: Path) -> AbstractContextManager[_UnixServer]:
        return _serving(path)

    def bearer(self, **claims: Any) -> dict[str, str]:
        return {"authorization": f"Bearer {self.tokens.make(**claims)}"}


@pytest.fixture(scope="session", name="until")
def until_fixture() -> Any:
    return until


def until(probe: Any, *, timeout_s: float = 60.0) -> Any:
    """Poll a blocking probe with a deadline; an exception counts as not yet."""
    deadline = time.monotonic() + timeout_s
    while True:
        with suppress(Exception):
            if value := probe():
                return value
        if time.monotonic() > deadline:
            return probe()
        time.sleep(0.02)


FEW_LOGINS = RateLimit(burst=5, per_minute=1)


def edge_config(folder: Path, pki: Pki, tokens: Tokens, logins: RateLimit) -> EdgeConfig:
    sockets = folder / "s"
    sockets.mkdir()
    certificate, key = pki.issue("edge", x509.DNSName("localhost"), x509.DNSName("link.localhost"))

    def upstream(name: str) -> Upstream:
        return Upstream(name=name, socket=sockets / f"{name}.sock", health_path="/health/live")

    return EdgeConfig(
        address="127.0.0.1",
        port=free_port(),
        hosts=("localhost", "127.0.0.1", "trading.example"),
        certificate=certificate,
        private_key=key,
        device_ca=pki.ca,
        xds_folder=folder / "xds",
        token=TokenRules(
            issuer="aitrading", audience="aitrading-api", cookie=COOKIE, jwks=tokens.jwks
        ),
        upstreams=(
            upstream("gateway"),
            replace(upstream("bridge"), health_path=None),
            replace(upstream("tiny"), max_requests=1, max_connections=1, max_pending_requests=1),
            upstream("absent"),
            upstream("returning"),
        ),
        routes=(
            Route(path="/", upstream="gateway", access=RouteAccess.PUBLIC, below=False),
            Route(path="/login", upstream="gateway", access=RouteAccess.PUBLIC, below=False),
            Route(path="/docs", upstream="gateway", access=RouteAccess.PUBLIC, below=False),
            Route(path="/static", upstream="gateway", access=RouteAccess.PUBLIC),
            Route(path="/api/v1", upstream="gateway"),
            Route(path="/api/v1/auth", upstream="gateway", access=RouteAccess.GUESSED),
            Route(
                path="/api/v1/stream",
                upstream="bridge",
                timeout=TimeoutClass.STREAM,
                below=False,
            ),
            Route(path="/api/v1/slow", upstream="tiny", timeout=TimeoutClass.FAST),
            Route(path="/api/v1/absent", upstream="absent"),
            Route(path="/api/v1/returning", upstream="returning"),
        ),
        link_upstream="bridge",
        auth_limit_per_address=logins,
    )


@pytest.fixture(scope="module")
def edge(run_edge: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """Envoy with the resources the product writes, and small real services behind it."""
    folder = tmp_path_factory.mktemp("edge")
    with run_edge(folder, {"gateway": _serving, "bridge": _serving, "tiny": _serving}) as edge:
        until(lambda: edge.request("/").status == 200)
        yield edge


@pytest.fixture(scope="session")
def run_edge() -> Any:
    return running_edge


@pytest.fixture(scope="session")
def serving() -> Any:
    """A small real service on the socket it is given."""
    return _serving


Serve = Callable[[Path], AbstractContextManager[Any]]


@contextmanager
def running_edge(
    folder: Path,
    services: Mapping[str, Serve],
    *,
    logins: RateLimit = FEW_LOGINS,
    **changes: Any,
) -> Iterator[Edge]:
    """Start Envoy in front of services that the caller serves on the sockets it is given."""
    certs = folder / "certs"
    certs.mkdir()
    pki, tokens = Pki(certs), Tokens()
    config = replace(edge_config(folder, pki, tokens, logins), **changes)
    edge = Edge(folder, config, pki, tokens)
    write_resources(config)
    with ExitStack() as stack:
        for upstream in config.upstreams:
            if serve := services.get(upstream.name):
                edge.servers[upstream.name] = stack.enter_context(serve(upstream.socket))
        stack.enter_context(_envoy(edge))
        until(lambda: "LIVE" in edge.admin("/ready"))
        yield edge


@contextmanager
def _serving(path: Path) -> Iterator[_UnixServer]:
    with _UnixServer(path) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.held.set()
            server.shutdown()


@contextmanager
def _envoy(edge: Edge) -> Iterator[None]:
    command = [ENVOY, "-c", str(edge.bootstrap()), "--disable-hot-restart"]
    command += ["--concurrency", "1", "--log-level", "warning", "--drain-time-s", "1"]
    command += ["--file-flush-interval-msec", "100"]
    with edge.output.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)
