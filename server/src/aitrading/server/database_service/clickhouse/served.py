"""A ClickHouse server reached by its HTTPS interface: TLS 1.3, full verification, or not at all.

https://clickhouse.com/docs/interfaces/http
"""

import asyncio
import base64
import http.client
import ssl
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

import numpy as np
from typing_extensions import override

from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.tracing import SpanKind, span
from aitrading.core.security.db_security_manager import StoreTarget
from aitrading.server.database_service.clickhouse.errors import (
    CLICKHOUSE_NOT_HERE,
    CLICKHOUSE_UNAVAILABLE,
    error_of,
)
from aitrading.server.database_service.clickhouse.port import (
    INSERT,
    ClickHouseEngine,
    Parameter,
    Rows,
    checked_label,
    parameter_text,
)
from aitrading.server.database_service.clickhouse.walls import SETTING, Seen, Whose, wall
from aitrading.server.database_service.https_store import verified_context
from aitrading.server.kit.backup_api import FrozenStore
from aitrading.server.kit.queries import name_of

T = TypeVar("T")
INSERT_MARK: Final = "aitrading-insert-"
"""Query ids of inserts start so; what nobody waits for any more is ended by it."""
_END_INSERTS: Final = f"KILL QUERY WHERE startsWith(query_id, '{INSERT_MARK}') SYNC"
_KNOWS_NEWER_SWITCH: Final = "SELECT toString(count()) FROM system.settings WHERE name = 'deduplicate_insert' FORMAT RawBLOB"
_OLDER_SWITCH: Final = {"insert_deduplicate": "0"}
_NEWER_SWITCH: Final = {"deduplicate_insert": "disable"}
"""Servers from 2026 on obey this one and ignore the other; older ones refuse to know it."""
_LEFT: Final = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)


@dataclass(frozen=True, kw_only=True)
class ServerLimits:
    """How long and how much is asked at once."""

    readers: int = 2
    read_timeout_s: int = 30
    write_timeout_s: int = 60


class ServedClickHouse(ClickHouseEngine):
    """Writes go one after the other over a connection of their own, reads over others.

    An insert is sent once. One that was not answered may still run on the server: it is ended
    before anything else goes over the writing connection, so that what is asked there sees its
    outcome and nothing is added behind that answer.
    """

    def __init__(
        self,
        target: StoreTarget,
        *,
        limits: ServerLimits | None = None,
        depends_on: tuple[str, ...] = (),
    ) -> None:
        limits = limits or ServerLimits()
        context = verified_context(target)
        self._limits = limits
        self._writer = _WriteLine(target, context, "clickhouse-write", limits.write_timeout_s)
        self._all_readers = [
            _Line(target, context, f"clickhouse-read-{number}", limits.read_timeout_s)
            for number in range(limits.readers)
        ]
        self._readers: asyncio.Queue[_Line] = asyncio.Queue()
        self._insert_settings: Mapping[str, str] = _OLDER_SWITCH
        self.depends_on = depends_on

    @override
    async def start(self) -> None:
        """Answers when no insert of an earlier process can still add rows."""
        self._state = ComponentState.STARTING
        try:
            knows_newer = await self._writer.ask(_KNOWS_NEWER_SWITCH, {})
            if knows_newer.strip() == b"1":
                self._insert_settings = {**_OLDER_SWITCH, **_NEWER_SWITCH}
        except BaseException:
            self._state = ComponentState.FAILED
            raise
        for reader in self._all_readers:
            self._readers.put_nowait(reader)
        self._state = ComponentState.HEALTHY

    @override
    async def stop(self) -> None:
        self._state = ComponentState.STOPPED
        for line in (self._writer, *self._all_readers):
            await line.close()

    @override
    def release_start_up_memory(self) -> None:
        """Nothing of the server lives in this process."""

    @override
    async def freeze(self, name: str) -> FrozenStore:
        raise CLICKHOUSE_NOT_HERE.error()

    @override
    async def thaw(self) -> None:
        """Nothing was frozen."""

    @override
    async def execute(
        self,
        sql: str,
        parameters: Mapping[str, Parameter] | None = None,
        *,
        of: Seen = Whose.NOBODY,
    ) -> None:
        with span(SpanKind.TIME_SERIES, name_of(sql)):
            await self._writer.ask(sql, _arguments(parameters) | {SETTING: wall(of)})

    @override
    async def select(
        self,
        sql: str,
        layout: "np.dtype[Any]",
        parameters: Mapping[str, Parameter] | None = None,
        *,
        of: Seen = Whose.NOBODY,
        after_writes: bool = False,
    ) -> Rows:
        arguments = _arguments(parameters) | {
            "max_execution_time": str(self._limits.read_timeout_s),
            SETTING: wall(of),
        }
        text = f"{sql} FORMAT RowBinary"
        with span(SpanKind.TIME_SERIES, name_of(sql)):
            if after_writes:
                return np.frombuffer(await self._writer.ask(text, arguments), layout)
            reader = await self._readers.get()
            try:
                return np.frombuffer(await reader.ask(text, arguments), layout)
            finally:
                self._readers.put_nowait(reader)

    @override
    async def insert(self, into: str, block: bytes, *, label: str) -> None:
        arguments = {
            "query": f"INSERT INTO {into} FORMAT Native",
            "query_id": f"{INSERT_MARK}{checked_label(label)}",
            **self._insert_settings,
            "async_insert": "0",
            "max_insert_threads": "1",
        }
        with span(SpanKind.TIME_SERIES, INSERT):
            await self._writer.insert(block, arguments)


class _Line:
    """One kept connection, used by one thread."""

    def __init__(
        self, target: StoreTarget, context: ssl.SSLContext, name: str, timeout_s: int
    ) -> None:
        self._target = target
        self._context = context
        self._timeout_s = timeout_s
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._connection: http.client.HTTPSConnection | None = None

    async def ask(self, sql: str, arguments: Mapping[str, str]) -> bytes:
        """Run a statement whose text is the body."""
        return await self.send(sql.encode(), arguments)

    async def send(self, body: bytes, arguments: Mapping[str, str]) -> bytes:
        """One request; raises a `CLICKHOUSE_…` error for everything that is not a full answer."""
        return await self._in_thread(lambda: self._exchange(body, arguments))

    async def close(self) -> None:
        await self._in_thread(self._hang_up)
        self._thread.shutdown(wait=False)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _exchange(self, body: bytes, arguments: Mapping[str, str], *, once: bool = False) -> bytes:
        settings = {"wait_end_of_query": "1", **arguments}
        path = f"/?{urlencode(settings)}"
        try:
            status, number, answer = self._request(path, body, once=once)
        except (OSError, http.client.HTTPException) as exc:
            self._hang_up()
            raise CLICKHOUSE_UNAVAILABLE.error(reason=type(exc).__name__) from exc
        if status != HTTPStatus.OK:
            raise error_of(number, limit_s=self._timeout_s)
        return answer

    def _request(self, path: str, body: bytes, *, once: bool) -> tuple[int, int, bytes]:
        """Status, error number and body.

        A kept connection that the server left is replaced and, unless `once`, the request sent
        again: the server may have acted on it before it left.
        """
        if self._connection is not None:
            try:
                return _exchange(self._connection, path, body, self._headers())
            except _LEFT:
                self._hang_up()
                if once:
                    raise
        self._connection = self._connect()
        return _exchange(self._connection, path, body, self._headers())

    def _connect(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(
            self._target.host,
            self._target.port,
            timeout=self._timeout_s + 5,
            context=self._context,
        )

    def _headers(self) -> dict[str, str]:
        target = self._target
        if target.user is None:
            return {}
        password = target.password.reveal() if target.password else ""
        credentials = base64.b64encode(f"{target.user}:{password}".encode()).decode()
        return {"Authorization": f"Basic {credentials}"}

    def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class _WriteLine(_Line):
    """The line for inserts: each is sent once, and none is left running behind another request."""

    _unsure = True
    """An insert may be running that nobody waits for: of the process before, at first."""

    async def insert(self, block: bytes, arguments: Mapping[str, str]) -> None:
        await self._in_thread(lambda: self._insert(block, arguments))

    @override
    def _exchange(self, body: bytes, arguments: Mapping[str, str], *, once: bool = False) -> bytes:
        if self._unsure:
            super()._exchange(_END_INSERTS.encode(), {})
            self._unsure = False
        return super()._exchange(body, arguments, once=once)

    def _insert(self, block: bytes, arguments: Mapping[str, str]) -> None:
        """A kept connection is tried out with a harmless question: an insert is never repeated."""
        self._exchange(b"SELECT 1", {})
        self._unsure = True
        super()._exchange(block, arguments, once=True)
        self._unsure = False


def _exchange(
    connection: http.client.HTTPSConnection, path: str, body: bytes, headers: dict[str, str]
) -> tuple[int, int, bytes]:
    connection.request("POST", path, body, headers)
    response = connection.getresponse()
    number = response.headers.get("X-ClickHouse-Exception-Code", "0")
    return response.status, int(number) if number.isdigit() else 0, response.read()


def _arguments(parameters: Mapping[str, Parameter] | None) -> dict[str, str]:
    return {f"param_{name}": parameter_text(value) for name, value in (parameters or {}).items()}
