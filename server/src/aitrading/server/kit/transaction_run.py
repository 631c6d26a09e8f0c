"""One transaction from the connection it is given to its commit, or its undoing."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from enum import Enum, auto
from types import TracebackType
from typing import Any, Final, TypeVar

import asyncpg
from typing_extensions import override

from aitrading.core.infrastructure.tracing import SpanKind, span
from aitrading.core.kit.errors import AitradingError
from aitrading.server.kit.connection_pool import ConnectionPool
from aitrading.server.kit.database_errors import (
    DATABASE_COMMIT_UNKNOWN,
    DATABASE_CONNECTION_LOST,
    DATABASE_TRANSACTION_ABORTED,
)
from aitrading.server.kit.postgres_mapping import CONNECTION_FAULTS, DRIVER_FAULTS, mapped, typed
from aitrading.server.kit.transactions import Transaction

T = TypeVar("T", bound=Transaction)
READ_ONLY: Final = " READ ONLY"
"""The mode of a transaction that PostgreSQL refuses every change."""
_NOT_REPLICATED: Final = frozenset({"01000", "57P01"})
"""Warnings at COMMIT: the wait for a synchronous standby ended, and it may not have the change."""


class Ended(Enum):
    """What became of a transaction, as far as this side knows."""

    UNBEGUN = auto()
    COMMITTED = auto()
    ROLLED_BACK = auto()
    UNDECIDED = auto()
    """Its COMMIT was refused, or not answered."""


class TransactionRun(AbstractAsyncContextManager[T]):
    """One transaction from its connection to its end.

    A class, because an asynchronous generator costs nearly as much CPU as a round trip.
    """

    __slots__ = ("_acquire", "_connection", "_count", "_make", "_mode", "_pool", "_setting", "_tx")

    def __init__(
        self,
        acquire: Callable[[], Awaitable[tuple[Any, ConnectionPool]]],
        count: Callable[[Ended, BaseException | None], None],
        make: Callable[[Any], T],
        setting: str,
        mode: str,
    ) -> None:
        self._acquire = acquire
        self._count = count
        self._make = make
        self._setting = setting
        self._mode = mode

    @override
    async def __aenter__(self) -> T:
        with span(SpanKind.DATABASE, "connection"):
            return await self._begin()

    async def _begin(self) -> T:
        try:
            self._connection, self._pool = await self._acquire()
        except AitradingError as exc:
            self._count(Ended.UNBEGUN, exc)
            raise
        self._tx = self._make(self._connection)
        try:
            await _begin(self._connection, self._setting, self._mode)
        except BaseException as exc:
            await self._undo(exc)
            raise
        return self._tx

    @override
    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._tx.close()
        if failure is not None:
            await self._undo(failure)
            return
        clean = False
        try:
            with span(SpanKind.DATABASE, "COMMIT"):
                await _commit(self._connection, changes=self._mode != READ_ONLY)
            clean = True
        except AitradingError as exc:
            self._count(Ended.UNDECIDED, exc)
            raise
        finally:
            self._pool.release(self._connection, clean=clean)
        self._count(Ended.COMMITTED, None)

    async def _undo(self, failure: BaseException) -> None:
        self._tx.close()
        clean = False
        try:
            clean = await _roll_back(self._connection)
        finally:
            self._pool.release(self._connection, clean=clean)
            self._count(Ended.ROLLED_BACK, failure)


def beginning(setting: str, mode: str) -> str:
    """Begins a transaction in one round trip; the setting is digits, or empty (`tenant_setting`)."""
    return f"BEGIN{mode}; SET LOCAL app.tenant = '{setting}'"


async def _begin(connection: Any, setting: str, mode: str) -> None:
    try:
        await connection.execute(beginning(setting, mode))
    except DRIVER_FAULTS as exc:
        raise mapped(exc) from exc


async def _commit(connection: Any, *, changes: bool) -> None:
    """A commit that a synchronous standby may not have is not called done: it can still be lost.

    Of a transaction that only read nothing is unknown.
    """
    unknown = DATABASE_COMMIT_UNKNOWN if changes else DATABASE_CONNECTION_LOST
    connection.take_warning()
    try:
        outcome = await connection.execute("COMMIT")
    except asyncpg.PostgresError as exc:
        error = typed(exc)
        lost = error.spec is DATABASE_CONNECTION_LOST
        raise (unknown.error(reason=type(exc).__name__) if lost else error) from exc
    except CONNECTION_FAULTS as exc:
        raise unknown.error(reason=type(exc).__name__) from exc
    if connection.take_warning() in _NOT_REPLICATED:
        raise DATABASE_COMMIT_UNKNOWN.error()
    if outcome != "COMMIT":
        raise DATABASE_TRANSACTION_ABORTED.error()


async def _roll_back(connection: Any) -> bool:
    """Whether the transaction is over; the pool ends a connection of which that is not known."""
    with suppress(asyncpg.PostgresError, *CONNECTION_FAULTS):
        await connection.execute("ROLLBACK")
        return True
    return False
