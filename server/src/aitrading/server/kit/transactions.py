"""What a service can do inside a transaction, and the proof whose rows it may touch."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from aitrading.core.infrastructure.tracing import SpanKind, span
from aitrading.core.kit.ids import TenantId
from aitrading.server.kit.database_errors import DATABASE_CLOSED
from aitrading.server.kit.postgres_mapping import DRIVER_FAULTS, mapped, mapped_errors
from aitrading.server.kit.queries import name_of
from aitrading.server.kit.tenancy import NO_TENANT, tenant_setting

Row = asyncpg.Record


class Transaction:
    """A running transaction; every failure arrives as a typed error.

    It ends with the block that opened it and refuses every use afterwards.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._open = True
        self._depth = 0

    async def fetch(self, sql: str, *arguments: Any) -> list[Row]:
        """All rows of a statement; values travel beside the text, never inside it."""
        with span(SpanKind.DATABASE, name_of(sql)):
            try:
                return await self._live().fetch(sql, *arguments)
            except DRIVER_FAULTS as exc:
                raise mapped(exc) from exc

    async def fetch_row(self, sql: str, *arguments: Any) -> Row | None:
        """The first row, or None."""
        with span(SpanKind.DATABASE, name_of(sql)):
            try:
                return await self._live().fetchrow(sql, *arguments)
            except DRIVER_FAULTS as exc:
                raise mapped(exc) from exc

    async def fetch_value(self, sql: str, *arguments: Any) -> Any:
        """The first column of the first row, or None."""
        with span(SpanKind.DATABASE, name_of(sql)):
            try:
                return await self._live().fetchval(sql, *arguments)
            except DRIVER_FAULTS as exc:
                raise mapped(exc) from exc

    async def execute(self, sql: str, *arguments: Any) -> int:
        """Run a statement and tell how many rows it changed."""
        with span(SpanKind.DATABASE, name_of(sql)):
            try:
                return _rows_of(await self._live().execute(sql, *arguments))
            except DRIVER_FAULTS as exc:
                raise mapped(exc) from exc

    async def execute_many(self, sql: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Run a statement once per tuple, pipelined."""
        with span(SpanKind.DATABASE, name_of(sql)), mapped_errors():
            await self._live().executemany(sql, list(rows))

    @asynccontextmanager
    async def savepoint(self) -> AsyncGenerator[None]:
        """Undo only the body when it fails, so that the transaction can go on."""
        self._depth += 1
        name = f"nested_{self._depth}"
        await self.execute(f"SAVEPOINT {name}")
        try:
            yield
        except Exception:
            await self.execute(f"ROLLBACK TO SAVEPOINT {name}")
            raise
        finally:
            self._depth -= 1
        await self.execute(f"RELEASE SAVEPOINT {name}")

    def close(self) -> None:
        """Refuse every further use; the pool calls it at the end of the block."""
        self._open = False

    def _live(self) -> Any:
        if not self._open:
            raise DATABASE_CLOSED.error(what="a database transaction")
        return self._connection


class TenantTransaction(Transaction):
    """Sees and writes the rows of one tenant; PostgreSQL itself enforces it."""

    def __init__(self, connection: Any, tenant: TenantId) -> None:
        super().__init__(connection)
        self.tenant = tenant


class PlatformTransaction(Transaction):
    """Sees tables without a tenant only; rows of a tenant within `within` alone."""

    @asynccontextmanager
    async def within(self, tenant: TenantId) -> AsyncGenerator[TenantTransaction]:
        """Act for one tenant inside this transaction, for work that spans tenants."""
        await self._enter(tenant_setting(tenant))
        inner = TenantTransaction(self._live(), tenant)
        try:
            yield inner
        finally:
            inner.close()
        await self._enter(NO_TENANT)

    async def _enter(self, setting: str) -> None:
        await self.execute("SELECT pg_catalog.set_config('app.tenant', $1, true)", setting)


def _rows_of(tag: str) -> int:
    """`UPDATE 3` and `INSERT 0 3` both mean three rows; other commands have no number."""
    last = tag.rpartition(" ")[2]
    return int(last) if last.isdigit() else 0
