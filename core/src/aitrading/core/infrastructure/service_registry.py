"""Who runs where: the record of a service, and the port to the store that shares it.

Adapters: memory (one process, below) and NATS key-value (`server.kit.registry_nats`); one contract
suite runs over both.
"""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from enum import StrEnum
from typing import Final, Protocol

import msgspec
from typing_extensions import override

from aitrading.core.infrastructure.lifecycle import ComponentState

MAX_PENDING_CHANGES: Final = 10_000


class RouteAccess(StrEnum):
    """What a request from outside must bring to reach a path."""

    PUBLIC = "public"
    GUESSED = "guessed"
    """No token yet, and a secret in the body: limited per address, because guessing happens here."""
    TOKEN = "token"  # noqa: S105 - the word, not a token


class PublishedRoute(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A path that a service asks to be reachable at from outside; whether it is, the edge decides."""

    path: str
    below: bool = False
    """Also the paths below, separated by `/`."""
    access: RouteAccess = RouteAccess.TOKEN
    timeout_s: int = 30
    body_limit_bytes: int = 64 * 1024
    stream: bool = False
    """A WebSocket: it lives until a side closes it or it falls silent."""


class ServiceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One running instance of a service; valid until its lease ends or it is removed."""

    name: str
    instance: str
    address: str
    """`host:port` of its mutual TLS listener."""
    version: str
    state: ComponentState
    lease_until_ns: int
    """Wall time at which the record is void unless it was renewed."""
    started_ns: int = 0
    capabilities: tuple[str, ...] = ()
    routes: tuple[PublishedRoute, ...] = ()

    @property
    def key(self) -> str:
        """`name.instance`, unique in a registry."""
        return f"{self.name}.{self.instance}"


class RegistryChange(msgspec.Struct, frozen=True, kw_only=True):
    """A record was put, or (None) removed."""

    key: str
    record: ServiceRecord | None


class RegistryStore(Protocol):
    """Where records live so that every process sees them.

    Every method raises `REGISTRY_UNAVAILABLE` while the store cannot be reached; none waits for
    its return.
    """

    async def put(self, record: ServiceRecord) -> None:
        """Store or replace the record under its key."""
        ...

    async def get(self, key: str) -> ServiceRecord | None:
        """The record under a key, expired or not."""
        ...

    async def list(self) -> list[ServiceRecord]:
        """All records, expired or not."""
        ...

    async def delete(self, key: str) -> None:
        """Remove; harmless when there is nothing."""
        ...

    def watch(self) -> AsyncIterator[RegistryChange]:
        """First every present record, then each change in order, without end.

        Raises `REGISTRY_UNAVAILABLE` from the iterator when the store is lost.
        """
        ...


class MemoryRegistryStore(RegistryStore):
    """A registry for one process; safe from any thread and any event loop."""

    def __init__(self) -> None:
        self._records: dict[str, ServiceRecord] = {}
        self._watchers: set[_Watcher] = set()
        self._lock = threading.Lock()

    @override
    async def put(self, record: ServiceRecord) -> None:
        with self._lock:
            self._records[record.key] = record
            self._tell(RegistryChange(key=record.key, record=record))

    @override
    async def get(self, key: str) -> ServiceRecord | None:
        with self._lock:
            return self._records.get(key)

    @override
    async def list(self) -> list[ServiceRecord]:
        with self._lock:
            return list(self._records.values())

    @override
    async def delete(self, key: str) -> None:
        with self._lock:
            if self._records.pop(key, None) is not None:
                self._tell(RegistryChange(key=key, record=None))

    @override
    async def watch(self) -> AsyncIterator[RegistryChange]:
        watcher = _Watcher()
        with self._lock:
            for record in self._records.values():
                watcher.tell(RegistryChange(key=record.key, record=record))
            self._watchers.add(watcher)
        try:
            while True:
                yield await watcher.next()
        finally:
            with self._lock:
                self._watchers.discard(watcher)

    def _tell(self, change: RegistryChange) -> None:
        for watcher in self._watchers:
            watcher.tell(change)


class _Watcher:
    """One reader's queue, filled from any thread; a reader that sleeps loses the oldest."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[RegistryChange] = asyncio.Queue(MAX_PENDING_CHANGES)

    def tell(self, change: RegistryChange) -> None:
        with contextlib.suppress(RuntimeError):  # the reader's loop is closed: nobody listens
            self._loop.call_soon_threadsafe(self._put, change)

    async def next(self) -> RegistryChange:
        return await self._queue.get()

    def _put(self, change: RegistryChange) -> None:
        if self._queue.full():
            self._queue.get_nowait()
        self._queue.put_nowait(change)
