"""What the host asks about ClickHouse: one process at a time can open the embedded one."""

from typing import Final

from aitrading.server.authority.installation import ADMIN_SERVICE
from aitrading.server.database_service.clickhouse.schema import ClickHouseSchema
from aitrading.server.kit.call import Call
from aitrading.server.kit.endpoints import endpoint, peers
from aitrading.server.kit.migrations.errors import MIGRATION_CHANGED, MIGRATION_UNKNOWN
from aitrading.server.kit.migrations_api import MIGRATIONS_PATH, StoreMigration

HOST: Final = peers(ADMIN_SERVICE)


class ClickHouseEndpoints:
    """For the administrator of the host."""

    def __init__(self, schema: ClickHouseSchema) -> None:
        self._schema = schema

    @endpoint(
        "GET",
        MIGRATIONS_PATH,
        access=HOST,
        answer=list[StoreMigration],
        errors=(MIGRATION_CHANGED, MIGRATION_UNKNOWN),
    )
    async def migrations(self, call: Call) -> list[StoreMigration]:
        """Every migration of ClickHouse; none where everything is kept in PostgreSQL."""
        del call
        return await self._schema.status()
