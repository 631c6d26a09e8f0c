"""Serves endpoints in this process on both real listeners: for tests.

::

    async with serving(tmp_path, [desk], service="data-bridge") as server:
        answer = await server.edge("POST", "/api/v1/things", headers={…}, body=b"…")
        client = server.client("friend")       # a peer over mutual TLS
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from starlette.types import ASGIApp

from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.health.registry import HealthRegistry
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.resilience import ResilienceRegistry
from aitrading.core.infrastructure.tracing import RequestTracer, TraceBacklog
from aitrading.core.kit.clock import Clock
from aitrading.core.kit.ids import SystemIdFactory
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.kit.secret import Secret
from aitrading.core.security.crypto import SigningKey
from aitrading.core.security.jwt_manager import JwtVerifier
from aitrading.server.authority.installation import Authority, ServiceFiles, initialise
from aitrading.server.kit.asgi import AppParts, build_app
from aitrading.server.kit.authentication import Authenticator, RevocationView
from aitrading.server.kit.bundle import HttpListener, PeerAddress, TlsFiles
from aitrading.server.kit.cache.in_process import InProcessCache
from aitrading.server.kit.cache.port import LIMITS, Cache
from aitrading.server.kit.denials import Denials
from aitrading.server.kit.endpoints import endpoints_of
from aitrading.server.kit.http_servers import HttpServers
from aitrading.server.kit.internal_client import InternalClient
from aitrading.server.kit.limit_levels import LimitLevels
from aitrading.server.kit.limit_settings import LimitSettings
from aitrading.server.kit.mtls import client_context
from aitrading.server.kit.rate_limits import RateLimits
from aitrading.server.kit.service_tokens import FileKeySet, ServiceTokenSource
from aitrading.server.kit.step_up_settings import StepUpSettings
from aitrading.server.kit.used_proofs import CachedUsedProofs, SharedCache

DRAIN_S: Final = 1


@dataclass(frozen=True, kw_only=True)
class EdgeAnswer:
    """An answer as the edge reads it."""

    status: int
    headers: dict[str, str]
    cookies: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The decoded body."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The error's code."""
        return str(self.json["error"]["code"])


class InProcessServer:
    """A running application with everything around it."""

    def __init__(self, home: Path, service: str, clock: Clock) -> None:
        self.home = home
        self.service = service
        self.clock = clock
        self.ids = SystemIdFactory(clock, SystemRandomness())
        self.authority: Authority = initialise(home, clock, self.ids)
        self.metrics = Metrics()
        self.resilience = ResilienceRegistry()
        self.errors = ErrorHandler(
            clock=clock,
            randomness=SystemRandomness(),
            metrics=self.metrics,
            resilience=self.resilience,
        )
        alone = Cache(LIMITS, InProcessCache(clock), clock, self.ids)
        self.shared = SharedCache(together=alone, alone=alone, client=None)
        self.tracer = RequestTracer(
            service=service, clock=clock, ids=self.ids, backlog=TraceBacklog()
        )
        self.denials = Denials(service, clock=clock, ids=self.ids, randomness=SystemRandomness())
        self.port = 0
        self.socket = home / "s.sock"
        self._folder = home / "run"
        self._folder.mkdir(exist_ok=True)
        self._clients: list[InternalClient] = []

    def files(self, name: str) -> ServiceFiles:
        """A fresh identity for a service."""
        return self.authority.write_service(name, self._folder)

    def verifier(self) -> JwtVerifier:
        """Verifies with the keys that this home published."""
        return JwtVerifier(
            clock=self.clock,
            user_keys=FileKeySet(self.authority.user_keys_file),
            service_keys=FileKeySet(self.authority.service_keys_file),
        )

    def authenticator(self, revocations: RevocationView | None = None) -> Authenticator:
        """Verifies people and peers as a service of this home does."""
        return Authenticator(
            self.service,
            self.verifier(),
            CachedUsedProofs(self.shared, errors=self.errors, clock=self.clock),
            clock=self.clock,
            denials=self.denials,
            revocations=revocations,
        )

    def client(self, name: str, *, claims: str | None = None) -> InternalClient:
        """A peer with a certificate of `name` and tokens of `claims` (the same by default)."""
        files = self.files(name)
        token_name = claims or name
        key_file = files.signing_key if claims is None else self.files(claims).signing_key
        client = InternalClient(
            peer=self.service,
            address=PeerAddress(host="127.0.0.1", port=self.port),
            clock=self.clock,
            tls=client_context(tls_of(files)),
            tokens=ServiceTokenSource(
                token_name,
                SigningKey.from_pem(Secret(key_file.read_bytes())),
                clock=self.clock,
                ids=self.ids,
            ),
        )
        self._clients.append(client)
        return client

    async def edge(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> EdgeAnswer:
        """One request over the Unix socket, as the edge sends it."""
        given = {"host": "localhost:8000", "connection": "close", **(headers or {})}
        if body:
            given.setdefault("content-type", "application/json")
            given.setdefault("content-length", str(len(body)))
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {v}" for name, v in given.items())]
        reader, writer = await asyncio.open_unix_connection(self.socket)
        try:
            writer.write("\r\n".join([*lines, "", ""]).encode() + body)
            return _answer(await reader.read())
        finally:
            writer.close()

    async def close(self) -> None:
        """Drop the clients."""
        for client in self._clients:
            await client.close()


def application(
    server: InProcessServer,
    owners: Sequence[object],
    revocations: RevocationView | None = None,
    *,
    limits: LimitSettings | None = None,
    step_up: StepUpSettings | None = None,
) -> ASGIApp:
    """The endpoints of the owners behind everything that a service puts around them."""
    health = HealthRegistry(
        service=server.service,
        instance="test",
        version="0",
        clock=server.clock,
        resilience=server.resilience,
        errors=server.errors,
    )
    parts = AppParts(
        service=server.service,
        authenticator=server.authenticator(revocations),
        health=health,
        metrics=server.metrics,
        clock=server.clock,
        ids=server.ids,
        limits=_limits_alone(server, limits or LimitSettings()),
        tracer=server.tracer,
        step_up=lambda: step_up or StepUpSettings(),
        on_error=server.errors.classify,
    )
    return build_app(parts, endpoints_of(*owners))


@asynccontextmanager
async def serving(
    server: InProcessServer,
    owners: Sequence[object],
    revocations: RevocationView | None = None,
    *,
    limits: LimitSettings | None = None,
    step_up: StepUpSettings | None = None,
) -> AsyncGenerator[InProcessServer]:
    """Serve the endpoints of the owners for the time of the block."""
    app = application(server, owners, revocations, limits=limits, step_up=step_up)
    listeners = HttpServers(
        app,
        HttpListener(socket=server.socket, host="127.0.0.1", port=0),
        tls_of(server.files(server.service)),
        service=server.service,
        drain_s=DRAIN_S,
    )
    await listeners.start()
    server.port = listeners.port
    try:
        yield server
    finally:
        await server.close()
        await listeners.stop()


def _limits_alone(server: InProcessServer, settings: LimitSettings) -> RateLimits:
    """Counted in this process."""
    return RateLimits(
        server.shared.together,
        server.shared.alone,
        levels=LimitLevels(lambda: settings),
        client=None,
        errors=server.errors,
        metrics=server.metrics,
        clock=server.clock,
    )


def tls_of(files: ServiceFiles) -> TlsFiles:
    """The TLS part of an identity."""
    return TlsFiles(certificate=files.certificate, private_key=files.private_key, ca=files.ca)


def _answer(raw: bytes) -> EdgeAnswer:
    head, _, body = raw.partition(b"\r\n\r\n")
    status_line, *lines = head.decode("latin-1").split("\r\n")
    pairs = [(name.lower(), value.strip()) for name, _, value in (x.partition(":") for x in lines)]
    cookies = [value for name, value in pairs if name == "set-cookie"]
    return EdgeAnswer(
        status=int(status_line.split()[1]),
        headers=dict(pairs),
        cookies={cookie.partition("=")[0]: cookie.partition("=")[2] for cookie in cookies},
        body=body,
    )
