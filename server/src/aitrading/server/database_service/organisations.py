"""An organisation by its name or id, as the host's administrator writes it."""

from typing import Final

from aitrading.core.kit.errors import Category, ErrorSpec, Severity
from aitrading.core.kit.ids import TenantId
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.queries import Queries
from aitrading.server.kit.tenancy import parse_tenant

_SQL: Final = Queries.load("aitrading.server.database_service", "operators.sql")

ORGANISATION_UNKNOWN: Final = ErrorSpec(
    code="ORGANISATION_UNKNOWN",
    category=Category.DENIED,
    message="There is no organisation `{name}`.",
    why="The name is misspelt.",
    remedy="List them: `aitrading tenant list`.",
    http_status=404,
    severity=Severity.INFO,
)


class Organisations:
    """Only what an administrator of the host names is looked up here."""

    def __init__(self, pool: PostgresPool) -> None:
        self._pool = pool

    async def find(self, name_or_id: str) -> TenantId:
        """The id; raises `ORGANISATION_UNKNOWN`."""
        async with self._pool.platform_read() as tx:
            found = await tx.fetch_value(_SQL["tenant_by_name_or_id"], name_or_id)
        if found is None:
            raise ORGANISATION_UNKNOWN.error(name=name_or_id[:64])
        return parse_tenant(str(found))
