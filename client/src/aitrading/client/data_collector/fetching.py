"""Reading a file or an address, with limits of size and time; blocks.

An address is asked only where its host is allowed, its redirects are not followed, and an answer
that says "not modified" costs nothing.
"""

import http.client
import os
import ssl
import time
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
    def form(self) -> str:
        """How it is written."""
        return self.path.suffix.lower().lstrip(".")

    def read(self) -> bytes | None:
        """The content when it changed; raises `SOURCE_UNREACHABLE` or `SOURCE_MALFORMED`."""
        try:
            with self.path.open("rb") as file:
                status = os.fstat(file.fileno())
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
    def form(self) -> str:
        """How it is written, by the end of its path."""
        return Path(urlsplit(self.url).path).suffix.lower().lstrip(".") or "json"

    def read(self) -> bytes | None:
        """The content when it changed; raises `SOURCE_UNREACHABLE` or `SOURCE_MALFORMED`."""
        if problem := address_problem(self.url, self.settings.allowed_hosts):
            raise _unreachable(self.name, problem)
        deadline = time.monotonic() + self.settings.timeout_s
        connection = self._connection()
        try:
            return self._exchange(connection, deadline)
        except ssl.SSLError as exc:
            raise _unreachable(
                self.name, f"its certificate is not trusted ({exc.reason})"
            ) from exc
        except (OSError, http.client.HTTPException) as exc:
            raise _unreachable(self.name, str(exc) or repr(exc)) from exc
        finally:
            connection.close()

    def forget(self) -> None:
        """Ask for the whole content again."""
        self._tags.clear()

    def _connection(self) -> http.client.HTTPConnection:
        parts, timeout_s = urlsplit(self.url), self.settings.timeout_s
        host = parts.hostname or ""
        if parts.scheme == "http":
            return http.client.HTTPConnection(host, parts.port, timeout=timeout_s)
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(host, parts.port, timeout=timeout_s, context=context)

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
        data = self._body(connection, answer, deadline)
        etag, modified = answer.getheader("etag"), answer.getheader("last-modified")
        self._tags = {
            name: value[:256]
            for name, value in (("if-none-match", etag), ("if-modified-since", modified))
            if value
        }
        return data

    def _body(
        self,
        connection: http.client.HTTPConnection,
        answer: http.client.HTTPResponse,
        deadline: float,
    ) -> bytes:
        """Read on until the end, the limit or the deadline, however it trickles."""
        limit = self.settings.limit_kb * 1024
        data = bytearray()
        while chunk := answer.read1(CHUNK_BYTES):
            data += chunk
            if len(data) > limit:
                raise too_large(self.name, limit)
            left = deadline - time.monotonic()
            if left <= 0:
                raise _unreachable(self.name, f"it took longer than {self.settings.timeout_s} s")
            if connection.sock is not None:
                connection.sock.settimeout(left)
        return bytes(data)


def too_large(source: str, limit: int) -> AitradingError:
    """It has more bytes than are read."""
    return SOURCE_MALFORMED.error(source=source, reason=f"it is larger than {limit} bytes")


def _unreachable(source: str, reason: str) -> AitradingError:
    return SOURCE_UNREACHABLE.error(source=source, reason=reason[:200])
