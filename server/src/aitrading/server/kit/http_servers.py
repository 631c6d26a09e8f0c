"""The two listeners of a service: a Unix socket for the edge, mutual TLS for its peers."""

import asyncio
import os
import socket
import ssl
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import uvicorn
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send
from typing_extensions import override

from aitrading.core.infrastructure.lifecycle import ComponentState, TaskSet
from aitrading.core.logging.optimized_log_router import get_logger
from aitrading.server.kit.asgi import AppParts, build_app
from aitrading.server.kit.bundle import HttpListener, TlsFiles
from aitrading.server.kit.mtls import MtlsHttpProtocol, reload_certificate, server_context
from aitrading.server.kit.service_errors import (
    CREDENTIALS_UNREADABLE,
    LISTENER_FAILED,
    SERVICE_STARTING,
)

BACKLOG: Final = 512
MAX_CONNECTIONS: Final = 2_000
KEEP_ALIVE_S: Final = 75
"""Longer than a client keeps an idle connection, so that the client is the one who closes."""
OWNER_ONLY_UMASK: Final = 0o177

_log = get_logger(__name__)


class Gate:
    """The application behind the listeners: probes from the first moment, the rest when open."""

    def __init__(self, parts: AppParts) -> None:
        async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
            del scope, receive, send
            raise SERVICE_STARTING.error(service=parts.service, retry_after_s=1)

        self._app = build_app(parts, [], pages=[Mount("/", app=refuse)])

    def open(self, app: ASGIApp) -> None:
        """Let requests through."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on to what is behind the gate now."""
        await self._app(scope, receive, send)


class HttpServers:
    """One application on both listeners; a component."""

    def __init__(
        self, app: ASGIApp, listener: HttpListener, tls: TlsFiles, *, service: str, drain_s: int
    ) -> None:
        self.name = "http"
        self.state = ComponentState.NEW
        self.port = listener.port
        self._app = app
        self._listener = listener
        self._tls = tls
        self._service = service
        self._drain_s = drain_s
        self._context: ssl.SSLContext | None = None
        self._servers: list[_Server] = []
        self._ended = asyncio.Event()
        self._tasks = TaskSet(self.name)

    async def start(self) -> None:
        """Listen; raises `LISTENER_FAILED` or `CREDENTIALS_UNREADABLE`."""
        self.state = ComponentState.STARTING
        try:
            self._context = server_context(self._tls)
        except OSError as exc:
            raise CREDENTIALS_UNREADABLE.error(reason=str(exc)) from exc
        unix = self._bind_unix(self._listener.socket)
        try:
            tcp = self._bind_tcp(self._listener.host, self._listener.port)
        except BaseException:
            unix.close()
            raise
        self.port = tcp.getsockname()[1]
        await self._serve(unix, None)
        await self._serve(tcp, self._context)
        self.state = ComponentState.HEALTHY
        _log.info("listening", socket=str(self._listener.socket), port=self.port)

    async def stop(self) -> None:
        """Accept nothing new, let running requests end within the time to drain."""
        if not self._servers:
            return
        self.state = ComponentState.STOPPING
        servers, self._servers = self._servers, []
        for server in servers:
            server.should_exit = True
        for server in servers:
            await server.ended.wait()
        await self._tasks.close()
        self._listener.socket.unlink(missing_ok=True)
        self.state = ComponentState.STOPPED

    async def wait_ended(self) -> None:
        """Return when a listener has ended without being told to."""
        await self._ended.wait()

    def renew_certificate(self) -> None:
        """Use the certificate that is on disk now for every new connection."""
        if self._context is None:
            return
        try:
            reload_certificate(self._context, self._tls)
        except OSError as exc:
            raise CREDENTIALS_UNREADABLE.error(reason=str(exc)) from exc

    async def _serve(self, listening: socket.socket, context: ssl.SSLContext | None) -> None:
        server = _Server(_config(self._app, self._drain_s), context)
        self._servers.append(server)
        self._tasks.start(self._run(server, listening), name=listening.family.name)
        await server.listening.wait()

    async def _run(self, server: "_Server", listening: socket.socket) -> None:
        try:
            await server.serve([listening])
        finally:
            server.ended.set()
            if self.state is not ComponentState.STOPPING:
                self.state = ComponentState.FAILED
                self._ended.set()

    def _bind_unix(self, path: Path) -> socket.socket:
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            path.unlink(missing_ok=True)
            with _umask(OWNER_ONLY_UMASK):
                listening.bind(str(path))
        except OSError as exc:
            listening.close()
            raise self._failed(str(path), exc) from exc
        return listening

    def _bind_tcp(self, host: str, port: int) -> socket.socket:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            return socket.create_server((host, port), family=family, backlog=BACKLOG)
        except OSError as exc:
            raise self._failed(f"{host}:{port}", exc) from exc

    def _failed(self, address: str, exc: OSError) -> Exception:
        reason = exc.strerror or str(exc)
        return LISTENER_FAILED.error(service=self._service, address=address, reason=reason)


class _Server(uvicorn.Server):
    """uvicorn's server without its own signal handling."""

    def __init__(self, config: uvicorn.Config, context: ssl.SSLContext | None) -> None:
        config.load()
        config.ssl = context
        super().__init__(config)
        self.listening = asyncio.Event()
        self.ended = asyncio.Event()

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        finally:
            self.listening.set()

    @override
    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def _config(app: ASGIApp, drain_s: int) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=MtlsHttpProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=drain_s,
    )


@contextmanager
def _umask(mask: int) -> Generator[None]:
    previous = os.umask(mask)
    try:
        yield
    finally:
        os.umask(previous)
