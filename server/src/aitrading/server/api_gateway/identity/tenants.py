"""Every organisation, for work that visits them one after the other."""

from typing import Final

from aitrading.core.kit.ids import TenantId
from aitrading.server.api_gateway.identity.model import tenant_of_row
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.queries import Queries

_SQL: Final = Queries.load("aitrading.server.api_gateway.identity", "sql/administration.sql")


async def all_tenants(pool: PostgresPool) -> list[TenantId]:
    """The ids of all organisations."""
    async with pool.platform_read() as tx:
        rows = await tx.fetch(_SQL["all_tenants"])
    return [tenant_of_row(row["id"]) for row in rows]
