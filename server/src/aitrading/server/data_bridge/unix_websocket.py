"""picows on a Unix socket.

picows sets TCP options on every connection, and a Unix socket refuses them. `_WithoutTcpOptions`
stands in front of the connection's socket and passes over what only TCP has; bytes go past it.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from picows import (
    WSAutoPingStrategy,
    WSListener,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
)
from picows.picows import WSProtocol  # pyright: ignore[reportUnknownVariableType, reportAttributeAccessIssue]

from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import IdFactory
from aitrading.core.protocol.tracecontext import TRACEPARENT, TraceContext
from aitrading.server.kit.http_errors import error_json
from aitrading.server.kit.refusal_headers import (
    REQUEST_ID,
    SECURITY_HEADERS,
    refusal_headers,
    request_id_of,
)

HANDSHAKE_TIMEOUT_S: Final = 5.0
READ_BUFFER_BYTES: Final = 64 * 1024
SOCKET_MODE: Final = 0o600
BACKLOG: Final = 1_024
CLIENT_FRAME_BYTES_MAX: Final = 1024 * 1024

ListenerFactory = Callable[[WSUpgradeRequest], WSListener | WSUpgradeResponseWithListener | None]

_log = logging.getLogger("aitrading.picows")
_log.setLevel(logging.WARNING)


async def serve_unix(
    path: Path, factory: ListenerFactory, *, frame_bytes_max: int
) -> asyncio.AbstractServer:
    """Listen; a stale socket file is replaced, and only the owner may connect."""
    listening = _bind(path)
    try:
        return await asyncio.get_running_loop().create_unix_server(
            lambda: _server_protocol(factory, frame_bytes_max),
            sock=listening,
            backlog=BACKLOG,
        )
    except BaseException:
        listening.close()
        raise


def _bind(path: Path) -> socket.socket:
    """A socket that nobody can reach before it has its mode: it does not listen yet."""
    path.unlink(missing_ok=True)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        bound.bind(str(path))
        path.chmod(SOCKET_MODE)
    except BaseException:
        bound.close()
        raise
    return bound


def refuse(
    error: AitradingError, request: WSUpgradeRequest, ids: IdFactory, trace: TraceContext
) -> WSUpgradeResponseWithListener:
    """Answer the upgrade as every other request is refused: one JSON shape, the same headers."""
    request_id = request_id_of(request.headers.get(REQUEST_ID, ""), ids)
    headers = {
        "content-type": "application/json",
        **SECURITY_HEADERS,
        **refusal_headers(error),
        REQUEST_ID: request_id,
        TRACEPARENT: str(trace),
    }
    body = error_json(error, request_id, trace.trace_id)
    status = error.spec.http_status
    response: Any = WSUpgradeResponse.create_error_response(status, body, headers)
    return WSUpgradeResponseWithListener(response, None)


def client_protocol(
    path: str, factory: Callable[[], WSListener], headers: list[tuple[str, str]]
) -> asyncio.BaseProtocol:
    """The client's side of a connection over a Unix socket."""
    end = ("localhost", path, True)
    return _UnixProtocol(*end, factory, *_behaviour(CLIENT_FRAME_BYTES_MAX, headers, pong=True))


def _server_protocol(factory: ListenerFactory, frame_bytes_max: int) -> asyncio.BaseProtocol:
    end = (None, None, False)
    return _UnixProtocol(*end, factory, *_behaviour(frame_bytes_max, None, pong=False))


def _behaviour(
    frame_bytes_max: int, headers: list[tuple[str, str]] | None, *, pong: bool
) -> tuple[Any, ...]:
    """The rest of the constructor's arguments, which it takes by position."""
    return (
        _log,
        True,  # disconnect when a listener raises
        HANDSHAKE_TIMEOUT_S,
        False,  # automatic ping: link and stream have their own heartbeat
        10.0,
        10.0,
        WSAutoPingStrategy.PING_WHEN_IDLE,
        pong,  # automatic pong: the server's listeners count what they answer
        frame_bytes_max,
        headers,
        READ_BUFFER_BYTES,
    )


class _UnixProtocol(WSProtocol):  # pyright: ignore[reportUntypedBaseClass]
    """A connection whose socket is not TCP."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Hand the connection to picows behind a socket that accepts its options."""
        super().connection_made(_UnixTransport(transport))


class _UnixTransport:
    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        value = self._transport.get_extra_info(name, default)
        return _WithoutTcpOptions(value) if name == "socket" else value


class _WithoutTcpOptions:
    def __init__(self, wrapped: socket.socket) -> None:
        self._wrapped = wrapped

    def fileno(self) -> int:
        return self._wrapped.fileno()

    def setsockopt(self, level: int, option: int, value: int) -> None:
        if level != socket.IPPROTO_TCP:
            self._wrapped.setsockopt(level, option, value)

    def getsockopt(self, level: int, option: int) -> int:
        return 0 if level == socket.IPPROTO_TCP else self._wrapped.getsockopt(level, option)
