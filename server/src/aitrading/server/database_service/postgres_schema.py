"""Brings PostgreSQL to the state of this release before anything uses it."""

from typing import ClassVar

from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.server.kit.migrations import MigrationRunner
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.row_security import require_row_security


class PostgresSchema:
    """Applies the migrations of every room of the house, then asks the row-security gate.

    `start` raises what the runner raises, or `ROW_SECURITY_BROKEN`.
    """

    name: ClassVar[str] = "postgres-schema"

    def __init__(self, runner: MigrationRunner, pool: PostgresPool) -> None:
        self.state = ComponentState.NEW
        self.depends_on = (pool.name,)
        self._runner = runner
        self._pool = pool

    async def start(self) -> None:
        """Return when the schema is right and the wall between tenants holds."""
        self.state = ComponentState.STARTING
        await self._runner.apply()
        async with self._pool.platform_tx() as tx:
            await require_row_security(tx)
        self.state = ComponentState.HEALTHY

    async def stop(self) -> None:
        """Nothing runs."""
        self.state = ComponentState.STOPPED
