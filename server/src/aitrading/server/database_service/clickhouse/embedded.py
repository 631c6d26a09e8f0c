"""ClickHouse inside this process: one folder, one handle and one thread per kind of work."""

import asyncio
import os
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from typing_extensions import override

from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.tracing import SpanKind, span
from aitrading.server.database_service.clickhouse.chdb_module import (
    load_engine,
    release_start_up_pages,
)
from aitrading.server.database_service.clickhouse.errors import (
    CLICKHOUSE_UNAVAILABLE,
    error_of,
)
from aitrading.server.database_service.clickhouse.freezing import freeze, thaw
from aitrading.server.database_service.clickhouse.port import (
    INSERT,
    ClickHouseEngine,
    Parameter,
    Rows,
    checked_label,
    parameter_text,
)
from aitrading.server.database_service.clickhouse.walls import SETTING, Seen, Whose, wall
from aitrading.server.kit.backup_api import FrozenStore
from aitrading.server.kit.queries import name_of

T = TypeVar("T")
CONFIG_FILE: Final = "engine.xml"
DATA_FOLDER: Final = "data"
_INSERT_SETTINGS: Final = (
    "insert_deduplicate = 0, deduplicate_insert_select = 'disable', max_insert_threads = 1"
)
"""The engine's own deduplication loses rows after a crash (see ticks/writer.py); one thread
writes, so that a block stays whole."""
_CODE: Final = re.compile(r"Code: (\d+)")


@dataclass(frozen=True, kw_only=True)
class EngineLimits:
    """How much of the machine the engine may use."""

    memory_mb: int = 1_024
    mark_cache_mb: int = 64
    readers: int = 2
    read_timeout_s: int = 30
    threads_per_query: int = 2


class EmbeddedClickHouse(ClickHouseEngine):
    """The engine of the `chdb` wheel; exactly one process may use a folder at a time.

    Writes run one after the other on a thread of their own, reads on others, so that a slow
    question delays no tick. Everything inserted is on disk when `insert` returns.
    """

    def __init__(
        self,
        folder: Path,
        *,
        limits: EngineLimits | None = None,
        depends_on: tuple[str, ...] = (),
    ) -> None:
        self._folder = folder
        self._limits = limits or EngineLimits()
        self._writer: _Handle | None = None
        self._readers: asyncio.Queue[_Handle] = asyncio.Queue()
        self._handles: list[_Handle] = []
        self.depends_on = depends_on

    @override
    async def start(self) -> None:
        self._state = ComponentState.STARTING
        try:
            await self._open()
        except BaseException:
            self._state = ComponentState.FAILED
            await self._close()
            raise
        self._state = ComponentState.HEALTHY

    @override
    async def stop(self) -> None:
        self._state = ComponentState.STOPPING
        await self._close()
        self._state = ComponentState.STOPPED

    @override
    def release_start_up_memory(self) -> None:
        release_start_up_pages()

    @override
    async def execute(
        self,
        sql: str,
        parameters: Mapping[str, Parameter] | None = None,
        *,
        of: Seen = Whose.NOBODY,
    ) -> None:
        def run(connection: Any) -> None:
            _query(connection, f"SET {SETTING} = {wall(of)}", None)
            _query(connection, sql, parameters)

        with span(SpanKind.TIME_SERIES, name_of(sql)):
            await self._write(run)

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
        bounded = (
            f"{sql} SETTINGS max_execution_time = {self._limits.read_timeout_s},"
            f" {SETTING} = {wall(of)}"
        )

        def read(connection: Any) -> bytes:
            return _query(connection, bounded, parameters)

        with span(SpanKind.TIME_SERIES, name_of(sql)):
            raw = await (self._write(read) if after_writes else self._read(read))
        return np.frombuffer(raw, layout)

    @override
    async def insert(self, into: str, block: bytes, *, label: str) -> None:
        checked_label(label)
        with span(SpanKind.TIME_SERIES, INSERT):
            await self._write(lambda connection: _insert(connection, into, block))

    @override
    async def freeze(self, name: str) -> FrozenStore:
        data = self._folder / DATA_FOLDER
        return await self._write(lambda connection: freeze(connection, data, name))

    @override
    async def thaw(self) -> None:
        await asyncio.to_thread(thaw, self._folder / DATA_FOLDER)

    async def _read(self, work: "Callable[[Any], T]") -> T:
        handle = await self._readers.get()
        try:
            return await handle.run(work)
        finally:
            self._readers.put_nowait(handle)

    async def _write(self, work: "Callable[[Any], T]") -> T:
        if self._writer is None:
            raise CLICKHOUSE_UNAVAILABLE.error(reason="it is not running")
        return await self._writer.run(work)

    async def _open(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        config = self._folder / CONFIG_FILE
        await asyncio.to_thread(config.write_text, _configuration(self._limits))
        target = f"{self._folder / DATA_FOLDER}?config-file={config}"
        engine = await asyncio.to_thread(load_engine)
        for number in range(1 + self._limits.readers):
            handle = _Handle(f"clickhouse-{number}", self._limits.read_timeout_s)
            self._handles.append(handle)
            await handle.open(engine, target)
            await handle.run(
                lambda connection: _query(
                    connection, f"SET max_threads = {self._limits.threads_per_query}", None
                )
            )
        self._writer, *readers = self._handles
        for handle in readers:
            self._readers.put_nowait(handle)

    async def _close(self) -> None:
        handles, self._handles = self._handles, []
        self._writer = None
        self._readers = asyncio.Queue()
        for handle in handles:
            await handle.close()


class _Handle:
    """A connection to the engine that lives and works in one thread."""

    def __init__(self, name: str, limit_s: int) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._limit_s = limit_s
        self._connection: Any = None

    async def open(self, engine: Any, target: str) -> None:
        def connect() -> None:
            self._connection = engine.connect(target)

        await self._in_thread(connect)

    async def run(self, work: "Callable[[Any], T]") -> T:
        return await self._in_thread(lambda: work(self._connection))

    async def close(self) -> None:
        """Waits for the work under way: the engine cannot be told to stop in the middle."""

        def disconnect() -> None:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

        await self._in_thread(disconnect)
        self._thread.shutdown(wait=False)

    async def _in_thread(self, work: "Callable[[], T]") -> T:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, work)
        except RuntimeError as exc:
            raise error_of(_number(exc), limit_s=self._limit_s) from exc


def _query(connection: Any, sql: str, parameters: Mapping[str, Parameter] | None) -> bytes:
    texts = {name: parameter_text(value) for name, value in (parameters or {}).items()}
    return bytes(connection.query(sql, "RowBinary", params=texts).bytes())


def _insert(connection: Any, into: str, block: bytes) -> None:
    """Insert by a query over a file in memory, whose errors are raised.

    The engine's own way, `send_insert` and `insert_done`, reports success for a block that could
    not be written.
    """
    with os.fdopen(os.memfd_create("block"), "wb") as file:
        file.write(block)
        file.flush()
        source = f"file('/proc/self/fd/{file.fileno()}', 'Native')"
        insert = f"INSERT INTO {into} SELECT * FROM {source}"  # noqa: S608 - names from our code
        _query(connection, f"{insert} SETTINGS {_INSERT_SETTINGS}", None)


def _number(exc: RuntimeError) -> int:
    match = _CODE.search(str(exc))
    return int(match[1]) if match else 0


def _configuration(limits: EngineLimits) -> str:
    values = {
        "max_server_memory_usage": limits.memory_mb << 20,
        "mark_cache_size": limits.mark_cache_mb << 20,
        "index_mark_cache_size": limits.mark_cache_mb << 20,
        "primary_index_cache_size": limits.mark_cache_mb << 20,
    }
    lines = "".join(f"  <{name}>{value}</{name}>\n" for name, value in values.items())
    return f"<clickhouse>\n{lines}</clickhouse>\n"
