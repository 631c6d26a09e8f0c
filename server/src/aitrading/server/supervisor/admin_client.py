"""How a command on the host talks to the running platform; needs no event loop."""

import socket
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from aitrading.core.kit.errors import AitradingError, Category, ErrorSpec
from aitrading.server.kit.peer_errors import TRACE_ID
from aitrading.server.supervisor.errors import NOT_RUNNING
from aitrading.server.supervisor.home import Home

T = TypeVar("T")
REQUEST_LIMIT_BYTES = 1 << 20
TIMEOUT_S = 60.0


class AdminRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One command with its arguments; one line of JSON."""

    command: str
    arguments: dict[str, Any] = {}


class AdminFailure(msgspec.Struct, frozen=True, kw_only=True):
    """An error as the platform tells it."""

    code: str
    category: str
    message: str
    remedy: str
    trace_id: str = ""


class AdminReply(msgspec.Struct, frozen=True, kw_only=True):
    """The answer; one line of JSON."""

    result: msgspec.Raw = msgspec.Raw(b"null")
    failure: AdminFailure | None = None


class AdminClient:
    """Asks the supervisor of one home."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def request(self, command: str, answer: type[T], **arguments: object) -> T:
        """Send one command and decode its result.

        Raises NOT_RUNNING when nobody answers, or the error the platform replied with.
        """
        reply = self._exchange(AdminRequest(command=command, arguments=arguments))
        if reply.failure is not None:
            raise rebuilt(reply.failure)
        return msgspec.json.decode(reply.result, type=answer)

    def _exchange(self, request: AdminRequest) -> AdminReply:
        try:
            line = _talk(self._home.admin_socket, msgspec.json.encode(request) + b"\n")
        except OSError as exc:
            raise NOT_RUNNING.error(home=str(self._home.root)) from exc
        if not line:
            raise NOT_RUNNING.error(home=str(self._home.root))
        return msgspec.json.decode(line, type=AdminReply)


def _talk(path: Path, request: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(TIMEOUT_S)
        connection.connect(str(path))
        connection.sendall(request)
        with connection.makefile("rb") as answer:
            return answer.readline()


def failure_of(error: AitradingError) -> AdminFailure:
    """Pack an error for the way to another process."""
    return AdminFailure(
        code=error.code,
        category=error.spec.category.value,
        message=error.message,
        remedy=error.spec.remedy,
        trace_id=str(error.fields.get(TRACE_ID) or ""),
    )


def rebuilt(failure: AdminFailure) -> AitradingError:
    """The error as it was raised over there."""
    known = {category.value for category in Category}
    spec = ErrorSpec(
        code=failure.code,
        category=Category(failure.category) if failure.category in known else Category.FATAL,
        message=failure.message.replace("{", "{{").replace("}", "}}"),
        why="",
        remedy=failure.remedy,
    )
    return spec.error(**({TRACE_ID: failure.trace_id} if failure.trace_id else {}))
