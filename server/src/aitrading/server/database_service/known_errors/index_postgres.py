"""Error vectors in PostgreSQL: with pgvector where it is installed, by SQL alone where it is not.

Both search a tenant's vectors exactly. They are bounded (`MAX_KNOWN` in `recorder`), so an
approximate index would cost recall under the tenant filter and gain nothing.
"""

from collections.abc import Mapping
from typing import Final

from typing_extensions import override

from aitrading.core.kit.ids import TenantId
from aitrading.server.database_service.known_errors.index import ErrorIndex, Neighbour, Vector
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.queries import Queries

PGVECTOR: Final = "pgvector"
PLAIN_SQL: Final = "sql"
_SQL: Final = Queries.load(__package__ or "", "index_postgres.sql")


class PostgresErrorIndex(ErrorIndex):
    """Needs nothing but the pool of the database service."""

    def __init__(self, pool: PostgresPool) -> None:
        self._pool = pool
        self._search: str | None = None

    @property
    @override
    def kind(self) -> str:
        return "postgres"

    @property
    def search(self) -> str | None:
        """`pgvector` or `sql`; None before the first question."""
        return self._search

    @override
    async def mark(self) -> str:
        """Vectors live and die with the rows that are marked, so the name is enough."""
        return self.kind

    async def start(self) -> None:
        """Find out how this PostgreSQL searches."""
        async with self._pool.platform_read() as tx:
            self._search = PGVECTOR if await tx.fetch_value(_SQL["has_pgvector"]) else PLAIN_SQL

    @override
    async def put(self, tenant: TenantId, vectors: Mapping[str, Vector]) -> None:
        async with self._pool.tenant_tx(tenant) as tx:
            await tx.execute_many(_SQL["put"], [(key, list(v)) for key, v in vectors.items()])

    @override
    async def nearest(self, tenant: TenantId, vector: Vector, limit: int) -> list[Neighbour]:
        if self._search is None:
            await self.start()
        query = _SQL[f"nearest_{self._search}"]
        async with self._pool.tenant_read(tenant) as tx:
            rows = await tx.fetch(query, list(vector), limit)
        return [
            Neighbour(fingerprint=row["fingerprint"], similarity=float(row["similarity"]))
            for row in rows
        ]

    @override
    async def remove(self, tenant: TenantId, fingerprints: list[str]) -> None:
        async with self._pool.tenant_tx(tenant) as tx:
            await tx.execute(_SQL["remove"], fingerprints)
