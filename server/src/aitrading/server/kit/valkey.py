"""A small client for Valkey and everything that speaks like it: one connection, pipelined.

The cache is never needed: every failure is `CACHE_UNAVAILABLE`, and callers go on without it.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, ClassVar, Final, cast

import hiredis
from typing_extensions import override

from aitrading.core.infrastructure.lifecycle import Component, ComponentState
from aitrading.core.infrastructure.tracing import SpanKind, span
from aitrading.core.kit.errors import AitradingError, Category, ErrorSpec, Impact, Severity
from aitrading.core.security.db_security_manager import MINIMUM_TLS_VERSION, Store, accept_url
from aitrading.server.kit.bundle import ValkeyAccess

Argument = str | bytes | int
CALL_TIMEOUT_S: Final = 1.0
MAX_IN_FLIGHT: Final = 10_000
_PACK: Final = cast("Callable[[tuple[Argument, ...]], bytes]", hiredis.pack_command)

CACHE_UNAVAILABLE: Final = ErrorSpec(
    code="CACHE_UNAVAILABLE",
    category=Category.RETRYABLE,
    message="The cache does not answer: {reason}.",
    why="Valkey is stopped, restarting or overloaded.",
    remedy="Nothing is lost: answers come from the stores meanwhile, a little slower.",
    http_status=503,
    severity=Severity.WARNING,
    impact=Impact.VISIBILITY,
)
CACHE_REJECTED: Final = ErrorSpec(
    code="CACHE_REJECTED",
    category=Category.FATAL,
    message="The cache refused a command: {reason}.",
    why="The cache user of this service has other rights than the program expects.",
    remedy="Start again with `aitrading up`, which writes the rights anew; else report it.",
)


class ValkeyClient(Component):
    """Commands of one service; connects on first use and again after a loss."""

    critical: ClassVar[bool] = False

    def __init__(
        self, access: ValkeyAccess, *, depends_on: tuple[str, ...] = (), used: bool = True
    ) -> None:
        self._access = access
        self._used = used
        self._connecting = asyncio.Lock()
        self._connection: _Connection | None = None
        self._state = ComponentState.NEW
        self.depends_on = depends_on

    @property
    @override
    def name(self) -> str:
        return "cache"

    @property
    @override
    def state(self) -> ComponentState:
        if self._state is not ComponentState.HEALTHY or not self._used:
            return self._state
        alive = self._connection is not None and self._connection.alive
        return ComponentState.HEALTHY if alive else ComponentState.DEGRADED

    @override
    async def start(self) -> None:
        """Tries to connect; a cache that is away makes the client DEGRADED and nothing else."""
        self._state = ComponentState.HEALTHY
        if self._used:
            with suppress(AitradingError):
                await self.call("PING")

    @override
    async def stop(self) -> None:
        self._state = ComponentState.STOPPED
        if self._connection is not None:
            self._connection.close("it was closed")
            self._connection = None

    async def call(self, *command: Argument) -> Any:
        """One command's answer; raises `CACHE_UNAVAILABLE` or `CACHE_REJECTED`."""
        return (await self.calls([command]))[0]

    async def calls(self, commands: Sequence[Sequence[Argument]]) -> list[Any]:
        """The answers to several commands sent together."""
        with span(SpanKind.CACHE, str(commands[0][0]) if commands else ""):
            return await self._calls(commands)

    async def _calls(self, commands: Sequence[Sequence[Argument]]) -> list[Any]:
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                connection = await self._connected()
                return await connection.exchange(commands)
        except TimeoutError as exc:
            self._drop("it is too slow")
            raise CACHE_UNAVAILABLE.error(reason="it is too slow") from exc
        except OSError as exc:
            raise CACHE_UNAVAILABLE.error(reason=exc.strerror or type(exc).__name__) from exc

    async def _connected(self) -> "_Connection":
        if self._state is ComponentState.STOPPED:
            raise CACHE_UNAVAILABLE.error(reason="it was closed")
        async with self._connecting:
            if self._connection is None or not self._connection.alive:
                self._connection = await self._connect()
            return self._connection

    async def _connect(self) -> "_Connection":
        loop = asyncio.get_running_loop()
        access = self._access
        if access.socket is not None:
            _, connection = await loop.create_unix_connection(_Connection, str(access.socket))
        else:
            target = accept_url(Store.CACHE, access.url or "")
            context = ssl.create_default_context(
                cafile=str(target.ca_file) if target.ca_file else None
            )
            context.minimum_version = ssl.TLSVersion[MINIMUM_TLS_VERSION.replace(".", "_")]
            if access.tls is not None:
                context.load_cert_chain(access.tls.certificate, access.tls.private_key)
            _, connection = await loop.create_connection(
                _Connection, target.host, target.port, ssl=context
            )
        try:
            await connection.exchange([("AUTH", access.user, access.password)])
        except BaseException:
            connection.close("it did not accept the login")
            raise
        return connection

    def _drop(self, reason: str) -> None:
        """Answers that come too late would be taken for those of later commands."""
        if self._connection is not None:
            self._connection.close(reason)


class _Connection(asyncio.Protocol):
    """Answers arrive in the order of the commands."""

    def __init__(self) -> None:
        self._reader: Any = hiredis.Reader()
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._transport: asyncio.Transport | None = None
        self._lost = ""

    @property
    def alive(self) -> bool:
        return self._transport is not None and not self._lost

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    @override
    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (answer := self._reader.gets()) is not False:
                self._resolve(answer)
        except hiredis.ProtocolError:
            self.close("it does not speak the protocol")

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.close("the connection was lost")

    async def exchange(self, commands: Sequence[Sequence[Argument]]) -> list[Any]:
        if not self.alive or self._transport is None:
            raise CACHE_UNAVAILABLE.error(reason=self._lost or "it is not connected")
        if len(self._waiting) + len(commands) > MAX_IN_FLIGHT:
            raise CACHE_UNAVAILABLE.error(reason="too many commands are under way")
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[Any]] = [loop.create_future() for _ in commands]
        self._waiting.extend(futures)
        self._transport.write(b"".join(_PACK(tuple(each)) for each in commands))
        try:
            await asyncio.wait(futures)
        except asyncio.CancelledError:
            for future in futures:
                future.cancel()
            raise
        failed = [failure for future in futures if (failure := future.exception()) is not None]
        if failed:
            raise failed[0]
        answers = [future.result() for future in futures]
        for answer in answers:
            if isinstance(answer, Exception):
                raise CACHE_REJECTED.error(reason=str(answer)[:100])
        return answers

    def close(self, reason: str) -> None:
        self._lost = self._lost or reason
        if self._transport is not None:
            self._transport.abort()
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_exception(CACHE_UNAVAILABLE.error(reason=self._lost))

    def _resolve(self, answer: Any) -> None:
        if not self._waiting:
            self.close("it answered a question nobody asked")
            return
        future = self._waiting.popleft()
        if not future.done():
            future.set_result(answer)
