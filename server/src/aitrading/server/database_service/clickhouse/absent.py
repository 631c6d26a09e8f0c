"""In place of ClickHouse where everything is kept in PostgreSQL."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from typing_extensions import override

from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.server.database_service.clickhouse.errors import CLICKHOUSE_NOT_USED
from aitrading.server.database_service.clickhouse.port import ClickHouseEngine, Parameter, Rows
from aitrading.server.database_service.clickhouse.schema import ClickHouseSchema
from aitrading.server.database_service.clickhouse.walls import Seen, Whose
from aitrading.server.kit.backup_api import FrozenStore
from aitrading.server.kit.migrations_api import StoreMigration


class AbsentClickHouse(ClickHouseEngine):
    """Loads nothing and answers `CLICKHOUSE_NOT_USED`; it has nothing to save either."""

    depends_on: tuple[str, ...] = ()

    @override
    async def start(self) -> None:
        self._state = ComponentState.HEALTHY

    @override
    async def stop(self) -> None:
        self._state = ComponentState.STOPPED

    @override
    def release_start_up_memory(self) -> None:
        """There is none."""

    @override
    async def execute(
        self,
        sql: str,
        parameters: Mapping[str, Parameter] | None = None,
        *,
        of: Seen = Whose.NOBODY,
    ) -> None:
        raise CLICKHOUSE_NOT_USED.error()

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
        raise CLICKHOUSE_NOT_USED.error()

    @override
    async def insert(self, into: str, block: bytes, *, label: str) -> None:
        raise CLICKHOUSE_NOT_USED.error()

    @override
    async def freeze(self, name: str) -> FrozenStore:
        return FrozenStore(folder=None, databases=(), tables=())

    @override
    async def thaw(self) -> None:
        """Nothing was frozen."""


class AbsentSchema(ClickHouseSchema):
    """Nothing to migrate."""

    @override
    async def status(self) -> list[StoreMigration]:
        return []

    @override
    async def apply(self) -> list[str]:
        return []
