"""Brings PostgreSQL to the state of this release before anything uses it."""

from collections.abc import Callable
from importlib.resources import as_file, files
from pathlib import Path
from typing import ClassVar

from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.kit.clock import Clock
from aitrading.core.security.field_encryption import MasterKeys
from aitrading.server.kit.bundle import PostgresAccess, ServiceBundle
from aitrading.server.kit.migrations import MigrationRunner
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.row_security import require_row_security
from aitrading.server.kit.tenancy import PLATFORM
from aitrading.server.personal_data.keys import FieldKeys
from aitrading.server.personal_data.sealing import sealing_step
from aitrading.server.personal_data.service import masters_of


def migrations(engine: str) -> Path:
    """The folder of this service's migrations for `postgres` or `clickhouse`."""
    with as_file(files(__package__ or "").joinpath("migrations", engine)) as folder:
        return folder


def postgres_runner(
    access: PostgresAccess, masters: Callable[[], MasterKeys], *, clock: Clock, release: str
) -> MigrationRunner:
    """Every migration of the platform, with the steps that they need."""
    return MigrationRunner(
        access,
        migrations("postgres"),
        clock=clock,
        release=release,
        steps=sealing_step(masters),
    )


def runner_of(bundle: ServiceBundle, clock: Clock) -> MigrationRunner:
    """The runner of the service with this bundle."""
    return postgres_runner(
        bundle.postgres["migrator"], masters_of(bundle).load, clock=clock, release=bundle.version
    )


class PostgresSchema:
    """Applies the migrations of every room of the house, then asks the row-security gate.

    `start` raises what the runner raises, `ROW_SECURITY_BROKEN`, or `FIELD_KEY_UNREADABLE` and
    its kin where the master keys are not those of this database.
    """

    name: ClassVar[str] = "postgres-schema"

    def __init__(self, runner: MigrationRunner, pool: PostgresPool, keys: FieldKeys) -> None:
        self.state = ComponentState.NEW
        self.depends_on = (pool.name,)
        self._runner = runner
        self._pool = pool
        self._keys = keys

    async def start(self) -> None:
        """Return when the schema is right and the wall between tenants holds."""
        self.state = ComponentState.STARTING
        await self._runner.apply()
        async with self._pool.platform_read() as tx:
            await require_row_security(tx)
        async with self._pool.tenant_read(PLATFORM) as tx:
            await self._keys.of(tx)
        self.state = ComponentState.HEALTHY

    async def stop(self) -> None:
        """Nothing runs."""
        self.state = ComponentState.STOPPED
