"""Reading a file or an address, with limits of size and time; blocks.

An address is asked only where its host is allowed, its redirects are not followed, and an answer
that says "not modified" costs nothing.
"""

import http.client
import os
import socket
import ssl
import stat
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from aitrading.client.data_collector.errors import SOURCE_MALFORMED, SOURCE_UNREACHABLE
from aitrading.client.data_collector.settings import DataSourcesSettings, address_problem
from aitrading.core.kit.errors import AitradingError

CHUNK_BYTES: Final = 16 * 1024
AGENT: Final = "aitrading-client"
_NO_WAITING: Final[int] = getattr(os, "O_NONBLOCK", 0)
"""A pipe that nobody writes to must not hold up who looks whether it is one."""


@dataclass
class FileReader:
    """One file; None while it is the one that was read before."""

    path: Path
    limit_bytes: int
    may_be_absent: bool = False
    """Without it there is simply nothing to read."""
    _read: tuple[int, int, int] | None = None

    @property
    def name(self) -> str:
        """For people."""
        return self.path.name[:64]

    @property
    def has_content(self) -> bool:
        """What was read last is still there."""
        return self._read is not None

    @property
    def form(self) -> str:
        """How it is written."""
        return self.path.suffix.lower().lstrip(".")

    def read(self) -> bytes | None:
        """The content when it changed; raises `SOURCE_UNREACHABLE` or `SOURCE_MALFORMED`."""
        try:
            with open(self.path, "rb", opener=_without_waiting) as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode):
                    raise _unreachable(self.name, "it is no regular file")
                version = (status.st_mtime_ns, status.st_size, status.st_ino)
                if version == self._read:
                    return None
                data = file.read(self.limit_bytes + 1)
        except FileNotFoundError as exc:
            self._read = None
            if self.may_be_absent:
                return None
            raise _unreachable(self.name, "it does not exist") from exc
        except OSError as exc:
            raise _unreachable(self.name, exc.strerror or str(exc)) from exc
        if len(data) > self.limit_bytes:
            raise too_large(self.name, self.limit_bytes)
        self._read = version
        return data

    def forget(self) -> None:
        """Read it again although it did not change."""
        self._read = None


@dataclass
class AddressReader:
    """One address; None while the server says that nothing changed."""

    url: str
    settings: DataSourcesSettings
    _tags: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def name(self) -> str:
        """For people: no path, it may hold a key."""
        return (urlsplit(self.url).hostname or "address")[:64]

    @property
    def has_content(self) -> bool:
        """What was read last is still there, as far as the server says."""
        return bool(self._tags)

    @property
    def form(self) -> str:
        """How it is written, by the end of its path."""
        return Path(urlsplit(self.url).path).suffix.lower().lstrip(".") or "json"

    def read(self) -> bytes | None:
        """The content when it changed; raises `SOURCE_UNREACHABLE` or `SOURCE_MALFORMED`."""
        if problem := address_problem(self.url, self.settings.allowed_hosts):
            raise _unreachable(self.name, problem)
        deadline = time.monotonic() + self.settings.timeout_s
        try:
            with self._connected(deadline) as connection:
                return self._exchange(connection, deadline)
        except (OSError, http.client.HTTPException, ValueError) as exc:
            raise _unreachable(self.name, self._reason(exc, deadline)) from exc

    def forget(self) -> None:
        """Ask for the whole content again."""
        self._tags.clear()

    def _reason(self, exc: Exception, deadline: float) -> str:
        """What is told of a failure: never a text that may hold the address and its key."""
        if time.monotonic() >= deadline:
            return self._overdue
        if isinstance(exc, ssl.SSLError):
            return f"its certificate is not trusted ({exc.reason})"
        told = exc.strerror if isinstance(exc, OSError) else None
        return told or type(exc).__name__

    @property
    def _overdue(self) -> str:
        return f"it took longer than {self.settings.timeout_s} s"

    @contextmanager
    def _connected(self, deadline: float) -> Generator[http.client.HTTPConnection]:
        """A connection that ends at the deadline, whatever is waited for then."""
        parts = urlsplit(self.url)
        host, is_plain = parts.hostname or "", parts.scheme == "http"
        kind = http.client.HTTPConnection if is_plain else http.client.HTTPSConnection
        connection = kind(host, parts.port)
        sock = _dialled(host, connection.port, deadline)
        if not is_plain:
            sock = ssl.create_default_context().wrap_socket(
                sock, server_hostname=host, do_handshake_on_connect=False
            )
        timer = threading.Timer(deadline - time.monotonic(), _hang_up, (sock,))
        timer.daemon = True
        timer.start()
        try:
            if isinstance(sock, ssl.SSLSocket):
                sock.do_handshake()
            connection.sock = sock
            yield connection
        finally:
            timer.cancel()
            connection.close()
            sock.close()

    def _exchange(self, connection: http.client.HTTPConnection, deadline: float) -> bytes | None:
        parts = urlsplit(self.url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = {"accept-encoding": "identity", "user-agent": AGENT, **self._tags}
        connection.request("GET", target, headers=headers)
        answer = connection.getresponse()
        if answer.status == HTTPStatus.NOT_MODIFIED:
            return None
        if answer.status != HTTPStatus.OK:
            raise _unreachable(self.name, f"it answered {answer.status}")
        data = self._body(answer, deadline)
        etag, modified = answer.getheader("etag"), answer.getheader("last-modified")
        self._tags = {
            name: value[:256]
            for name, value in (("if-none-match", etag), ("if-modified-since", modified))
            if value and value.isprintable()
        }
        return data

    def _body(self, answer: http.client.HTTPResponse, deadline: float) -> bytes:
        """All of it, within the limit and the deadline, however it trickles."""
        limit, expected = self.settings.limit_kb * 1024, answer.length
        data = bytearray()
        while expected is None or len(data) < expected:
            chunk = answer.read1(CHUNK_BYTES)
            data += chunk
            if len(data) > limit:
                raise too_large(self.name, limit)
            if time.monotonic() >= deadline:
                raise _unreachable(self.name, self._overdue)
            if not chunk:
                break
        if expected is not None and len(data) < expected:
            raise _unreachable(self.name, f"it broke off after {len(data)} of {expected} bytes")
        return bytes(data)


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | _NO_WAITING)


def _dialled(host: str, port: int, deadline: float) -> socket.socket:
    """The first of its addresses that answers; all of them share the time."""
    problem: OSError = TimeoutError()
    for family, kind, protocol, _, address in socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM
    ):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(max(deadline - time.monotonic(), 0.001))
            sock.connect(address)
        except OSError as exc:
            sock.close()
            problem = exc
        else:
            return sock
    raise problem


def _hang_up(sock: socket.socket) -> None:
    """Whoever waits for it goes on: past TLS, which would only forget its own state."""
    with suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


def too_large(source: str, limit: int) -> AitradingError:
    """It has more bytes than are read."""
    return SOURCE_MALFORMED.error(source=source, reason=f"it is larger than {limit} bytes")


def _unreachable(source: str, reason: str) -> AitradingError:
    return SOURCE_UNREACHABLE.error(source=source, reason=reason[:200])
