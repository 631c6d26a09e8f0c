"""A store behind HTTPS and JSON: TLS 1.3, the certificate verified by name, a few kept connections."""

import asyncio
import ssl
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, TypeVar

import msgspec

from aitrading.core.kit.errors import ErrorSpec
from aitrading.core.security.db_security_manager import MINIMUM_TLS_VERSION, StoreTarget
from aitrading.server.kit.peer_connection import (
    ConnectionWasStaleError,
    PeerConnection,
    PeerProtocolError,
    PeerRequest,
    PeerResponse,
)

T = TypeVar("T")
CONNECTIONS: Final = 4
ASK_TIMEOUT_S: Final = 10.0
ANSWER_LIMIT_BYTES: Final = 32 << 20
REASON_CHARS: Final = 200
_NOT_ALLOWED: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_SUCCESS: Final = range(200, 300)
_NO_HEADERS: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, kw_only=True)
class StoreErrors:
    """What the store's room calls it when the store does not answer, or answers no."""

    unavailable: ErrorSpec
    rejected: ErrorSpec


@dataclass(frozen=True, kw_only=True)
class StoreAnswer:
    """A status and the bytes that came with it."""

    status: int
    body: bytes


class HttpsStore:
    """Asks one server; everything it is asked may be asked twice without harm.

    A kept connection that the server has left is replaced and the request sent again. Every
    failure is one of the two errors of the store's room; a login that is refused is `rejected`.
    """

    def __init__(
        self,
        target: StoreTarget,
        errors: StoreErrors,
        *,
        authorization: str,
        timeout_s: float = ASK_TIMEOUT_S,
    ) -> None:
        self._target = target
        self._errors = errors
        self._authorization = authorization
        self._timeout_s = timeout_s
        self._context = verified_context(target)
        self._room = asyncio.Semaphore(CONNECTIONS)
        self._idle: list[PeerConnection] = []

    @property
    def target(self) -> StoreTarget:
        """Whom it asks."""
        return self._target

    async def connect(self) -> None:
        """Open a connection without logging in; for `doctor`."""
        connection = await self._guarded(self._open())
        connection.abort()

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        accept: frozenset[int] = frozenset(),
        headers: Mapping[str, str] = _NO_HEADERS,
    ) -> StoreAnswer:
        """Any 2xx, or one of the other statuses that the caller `accept`s."""
        content = b"" if body is None else msgspec.json.encode(body)
        request = PeerRequest(
            method=method,
            target=path,
            headers=self._headers(content, headers),
            body=content,
            answer_limit_bytes=ANSWER_LIMIT_BYTES,
        )
        async with self._room:
            answer = await self._guarded(self._exchange(request))
        if answer.status in _SUCCESS or answer.status in accept:
            return StoreAnswer(status=answer.status, body=answer.body)
        reason = f"{answer.status} {answer.body[:REASON_CHARS].decode(errors='replace')!r}"
        if answer.status in _NOT_ALLOWED:
            raise self._errors.rejected.error(reason=f"it does not accept the login ({reason})")
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise self._errors.unavailable.error(reason=reason)
        raise self._errors.rejected.error(reason=reason)

    def decode(self, answer: StoreAnswer, kind: type[T]) -> T:
        """The answer as a type; raises `rejected` when it is something else."""
        try:
            return msgspec.json.decode(answer.body, type=kind)
        except msgspec.MsgspecError as exc:
            raise self._errors.rejected.error(reason=f"its answer is unknown: {exc}") from exc

    def close(self) -> None:
        """Hang up; the next question connects again."""
        while self._idle:
            self._idle.pop().abort()

    async def _exchange(self, request: PeerRequest) -> PeerResponse:
        while self._idle:
            connection = self._idle.pop()
            try:
                if connection.reusable:
                    return await self._over(connection, request)
            except ConnectionWasStaleError:
                continue
        return await self._over(await self._open(), request)

    async def _over(self, connection: PeerConnection, request: PeerRequest) -> PeerResponse:
        try:
            answer = await connection.exchange(request)
        except BaseException:
            connection.abort()
            raise
        if connection.reusable:
            self._idle.append(connection)
        else:
            connection.abort()
        return answer

    async def _open(self) -> PeerConnection:
        target = self._target
        streams = await asyncio.open_connection(target.host, target.port, ssl=self._context)
        return PeerConnection(*streams)

    async def _guarded(self, work: Awaitable[T]) -> T:
        unavailable = self._errors.unavailable
        try:
            async with asyncio.timeout(self._timeout_s):
                return await work
        except ssl.SSLCertVerificationError as exc:
            reason = f"its certificate is not trusted ({exc.verify_message})"
            raise unavailable.error(reason=reason) from exc
        except TimeoutError as exc:
            raise unavailable.error(reason=f"no answer in {self._timeout_s:g} s") from exc
        except OSError as exc:
            raise unavailable.error(reason=exc.strerror or type(exc).__name__) from exc
        except (PeerProtocolError, ConnectionWasStaleError, EOFError) as exc:
            raise unavailable.error(reason=str(exc) or "it hung up") from exc

    def _headers(self, content: bytes, more: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
        named = {
            "host": f"{self._target.host}:{self._target.port}",
            "authorization": self._authorization,
            "accept": "application/json",
            "content-type": "application/json",
            "content-length": str(len(content)),
            **more,
        }
        return [(name.encode("ascii"), value.encode("latin-1")) for name, value in named.items()]


def verified_context(target: StoreTarget) -> ssl.SSLContext:
    """TLS 1.3 only, the server's name verified against the URL's roots or the machine's own."""
    context = ssl.create_default_context(cafile=str(target.ca_file) if target.ca_file else None)
    context.minimum_version = ssl.TLSVersion[MINIMUM_TLS_VERSION.replace(".", "_")]
    return context
