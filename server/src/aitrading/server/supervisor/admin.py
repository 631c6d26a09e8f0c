"""The administration socket: for the user who runs the platform, and root, on this host only."""

import asyncio
import logging
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from aitrading.core.kit.errors import AitradingError
from aitrading.server.supervisor.admin_client import (
    REQUEST_LIMIT_BYTES,
    AdminReply,
    AdminRequest,
    failure_of,
)
from aitrading.server.supervisor.errors import ADMIN_COMMAND_UNKNOWN, ADMIN_DENIED

Handler = Callable[[Mapping[str, Any]], Awaitable[object]]
REQUEST_TIMEOUT_S = 5.0
_CREDENTIALS = struct.Struct("3i")

_log = logging.getLogger(__name__)


class AdminServer:
    """Answers one request per connection; who asked what is logged."""

    def __init__(self, path: Path, handlers: Mapping[str, Handler]) -> None:
        self._path = path
        self._handlers = handlers
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen; the socket is never open to others, not even for a moment."""
        previous = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(
                self._serve, str(self._path), limit=REQUEST_LIMIT_BYTES
            )
        finally:
            os.umask(previous)

    async def stop(self) -> None:
        """Close the socket and remove it."""
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            reply = await self._reply(reader, writer)
            writer.write(msgspec.json.encode(reply) + b"\n")
            await writer.drain()
        except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError) as exc:
            _log.warning("an administration request was not understood: %s", exc)
        finally:
            writer.close()

    async def _reply(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> AdminReply:
        uid = _peer_uid(writer)
        try:
            if uid not in (0, os.geteuid()):
                raise ADMIN_DENIED.error(uid=uid)
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                line = await reader.readuntil(b"\n")
            request = msgspec.json.decode(line, type=AdminRequest)
            _log.info("administration: uid %d asked for %s", uid, _wanted(request))
            result = await self._handler(request.command)(request.arguments)
            return AdminReply(result=msgspec.Raw(msgspec.json.encode(result)))
        except AitradingError as exc:
            return AdminReply(failure=failure_of(exc))

    def _handler(self, command: str) -> Handler:
        try:
            return self._handlers[command]
        except KeyError:
            raise ADMIN_COMMAND_UNKNOWN.error(command=command) from None


def _wanted(request: AdminRequest) -> str:
    """The command, and for a call what it calls; bodies may hold passwords and stay out."""
    parts = (request.arguments.get(name) for name in ("peer", "method", "path"))
    return " ".join([request.command, *(str(part) for part in parts if part)])


def _peer_uid(writer: asyncio.StreamWriter) -> int:
    connection: socket.socket = writer.get_extra_info("socket")
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return _CREDENTIALS.unpack(raw)[1]
