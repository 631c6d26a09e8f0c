"""Typed calls to another service: HTTP/1.1 over mutual TLS, kept connections, one deadline a call.

Every failure is an `AitradingError`: PEER_UNREACHABLE, PEER_TIMEOUT, PEER_BUSY, PEER_PROTOCOL, or
the peer's own error exactly as it was raised over there. Retries and breakers belong to callers,
who know what is safe to repeat; only a stale kept connection is replaced here, once, and only for
methods that change nothing twice.
"""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlencode

import msgspec
from typing_extensions import override

from aitrading.core.infrastructure.tracing import SpanKind, span
from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import IdFactory
from aitrading.core.logging.optimized_log_router import current_context
from aitrading.core.protocol.tracecontext import TRACEPARENT, TraceContext
from aitrading.server.kit.bundle import PeerAddress, ServiceBundle
from aitrading.server.kit.mtls import RenewedTls
from aitrading.server.kit.peer_connection import (
    MAX_ANSWER_BYTES,
    ConnectionWasStaleError,
    Header,
    PeerConnection,
    PeerProtocolError,
    PeerRequest,
    PeerResponse,
)
from aitrading.server.kit.peer_errors import (
    PEER_BUSY,
    PEER_PROTOCOL,
    PEER_TIMEOUT,
    PEER_UNREACHABLE,
    ErrorAnswer,
    rebuilt,
)
from aitrading.server.kit.service_tokens import ServiceTokenSource

DEFAULT_TIMEOUT_S: Final = 5.0
MAX_CONNECTIONS: Final = 16
MAX_WAITING_CALLS: Final = 64
IDLE_LIMIT_S: Final = 60
"""Shorter than a server keeps an idle connection (75 s), so that a kept one is rarely stale."""
IDEMPOTENT: Final = frozenset({"GET", "HEAD", "PUT", "DELETE"})
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class ClientStatistics:
    """What a client did since its start."""

    calls: int
    failures: int
    opened: int
    in_use: int
    idle: int


class InternalClient:
    """Calls one peer. Belongs to one event loop; close it with `close()`."""

    def __init__(
        self,
        *,
        peer: str,
        address: PeerAddress | Path,
        clock: Clock,
        tls: ssl.SSLContext | RenewedTls | None = None,
        tokens: ServiceTokenSource | None = None,
    ) -> None:
        self._peer = peer
        self._address = address
        self._clock = clock
        self._tls = tls
        self._tokens = tokens
        self._idle: list[PeerConnection] = []
        self._room = asyncio.Semaphore(MAX_CONNECTIONS)
        self._in_use = self._waiting = 0
        self._calls = self._failures = self._opened = 0

    @classmethod
    def of(
        cls, bundle: ServiceBundle, peer: str, clock: Clock, ids: IdFactory
    ) -> "InternalClient":
        """The client of the service whose bundle this is, to a peer that the bundle names."""
        return cls(
            peer=peer,
            address=bundle.peers[peer],
            clock=clock,
            tls=RenewedTls(bundle.tls),
            tokens=ServiceTokenSource.of(bundle, clock, ids),
        )

    @classmethod
    def to(
        cls, bundle: ServiceBundle, peer: str, address: PeerAddress, clock: Clock
    ) -> "InternalClient":
        """A client to any peer, for what its mutual TLS alone opens: probes and metrics."""
        return cls(peer=peer, address=address, clock=clock, tls=RenewedTls(bundle.tls))

    async def get(
        self,
        path: str,
        *,
        answer: type[T],
        query: Mapping[str, str] | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> T:
        """GET and decode the JSON answer."""
        target = f"{path}?{urlencode(query)}" if query else path
        response = await self.request("GET", target, timeout_s=timeout_s)
        return self._decoded(response, path, answer)

    async def post(
        self,
        path: str,
        *,
        body: msgspec.Struct | bytes = b"",
        answer: type[T],
        headers: Mapping[str, str] | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> T:
        """POST a struct as JSON, or bytes as they are, and decode the JSON answer."""
        raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
        kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        given = {"content-type": kind, **(headers or {})}
        response = await self.request("POST", path, body=raw, headers=given, timeout_s=timeout_s)
        return self._decoded(response, path, answer)

    async def request(
        self,
        method: str,
        target: str,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        answer_limit_bytes: int = MAX_ANSWER_BYTES,
    ) -> PeerResponse:
        """One exchange; an answer of 400 and more is raised as the peer's error."""
        with span(SpanKind.CALL, f"{method} {self._peer}") as step:
            request = PeerRequest(
                method=method,
                target=target,
                headers=self._headers(headers, len(body), step.traceparent),
                body=body,
                answer_limit_bytes=answer_limit_bytes,
            )
            return await self._answered(request, timeout_s)

    async def _answered(self, request: PeerRequest, timeout_s: float) -> PeerResponse:
        self._calls += 1
        try:
            response = await self._guarded(request, timeout_s)
        except BaseException:
            self._failures += 1
            raise
        if response.status >= HTTPStatus.BAD_REQUEST:
            self._failures += 1
            raise self._refusal(response, request.target)
        return response

    async def close(self) -> None:
        """Drop kept connections; calls under way end with their own answer."""
        while self._idle:
            self._idle.pop().abort()

    def statistics(self) -> ClientStatistics:
        """Counts since the start, and connections now."""
        return ClientStatistics(
            calls=self._calls,
            failures=self._failures,
            opened=self._opened,
            in_use=self._in_use,
            idle=len(self._idle),
        )

    @override
    def __repr__(self) -> str:
        return f"InternalClient({self._peer}, {self.statistics()})"

    async def _guarded(self, request: PeerRequest, timeout_s: float) -> PeerResponse:
        try:
            async with asyncio.timeout(timeout_s):
                return await self._in_slot(request)
        except TimeoutError as exc:
            raise PEER_TIMEOUT.error(
                peer=self._peer, path=_path(request), timeout_s=timeout_s
            ) from exc
        except PeerProtocolError as exc:
            raise PEER_PROTOCOL.error(
                peer=self._peer, path=_path(request), reason=str(exc)
            ) from exc
        except (OSError, EOFError, ConnectionWasStaleError) as exc:
            reason = getattr(exc, "strerror", None) or "the connection was closed"
            raise PEER_UNREACHABLE.error(peer=self._peer, reason=reason) from exc

    async def _in_slot(self, request: PeerRequest) -> PeerResponse:
        if self._room.locked() and self._waiting >= MAX_WAITING_CALLS:
            raise PEER_BUSY.error(peer=self._peer, limit=MAX_CONNECTIONS)
        self._waiting += 1
        try:
            await self._room.acquire()
        finally:
            self._waiting -= 1
        self._in_use += 1
        try:
            return await self._exchange(request)
        finally:
            self._in_use -= 1
            self._room.release()

    async def _exchange(self, request: PeerRequest) -> PeerResponse:
        kept = self._kept_connection()
        if kept is not None:
            try:
                return await self._exchange_on(kept, request)
            except ConnectionWasStaleError:
                if request.method not in IDEMPOTENT:
                    raise
        self._opened += 1
        tls = self._tls.context() if isinstance(self._tls, RenewedTls) else self._tls
        fresh = await PeerConnection.open(self._peer, self._address, tls)
        return await self._exchange_on(fresh, request)

    async def _exchange_on(self, connection: PeerConnection, request: PeerRequest) -> PeerResponse:
        keep = False
        try:
            response = await connection.exchange(request)
            keep = connection.reusable
        finally:
            if keep:
                connection.idle_since_ns = self._clock.monotonic_ns()
                self._idle.append(connection)
            else:
                connection.abort()
        return response

    def _kept_connection(self) -> PeerConnection | None:
        oldest_ns = self._clock.monotonic_ns() - IDLE_LIMIT_S * NS_PER_S
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable and connection.idle_since_ns > oldest_ns:
                return connection
            connection.abort()
        return None

    def _headers(
        self, given: Mapping[str, str] | None, length: int, traceparent: str | None
    ) -> list[Header]:
        headers = {"host": self._peer, "accept": "application/json", **(given or {})}
        if length:
            headers["content-length"] = str(length)
        if self._tokens is not None:
            headers["authorization"] = f"Bearer {self._tokens.token_for(self._peer)}"
        context = current_context()
        if traceparent is not None:
            headers.setdefault(TRACEPARENT, traceparent)
        elif context.trace_id and context.span_id:
            headers.setdefault(TRACEPARENT, str(TraceContext(context.trace_id, context.span_id)))
        return [(name.encode(), value.encode()) for name, value in headers.items()]

    def _decoded(self, response: PeerResponse, path: str, answer: type[T]) -> T:
        try:
            return msgspec.json.decode(response.body, type=answer)
        except (msgspec.ValidationError, msgspec.DecodeError) as exc:
            raise PEER_PROTOCOL.error(peer=self._peer, path=path, reason=str(exc)) from exc

    def _refusal(self, response: PeerResponse, path: str) -> AitradingError:
        try:
            answer = msgspec.json.decode(response.body, type=ErrorAnswer)
        except (msgspec.ValidationError, msgspec.DecodeError):
            reason = f"status {response.status}"
            return PEER_PROTOCOL.error(peer=self._peer, path=path, reason=reason)
        return rebuilt(answer, response.status)


def _path(request: PeerRequest) -> str:
    return request.target.partition("?")[0]
