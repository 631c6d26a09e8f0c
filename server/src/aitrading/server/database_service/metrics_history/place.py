"""Where points lie, and the breakers in front of that store."""

from typing import NamedTuple

from aitrading.core.infrastructure.resilience import CircuitBreaker
from aitrading.server.database_service.clickhouse.port import ClickHouse
from aitrading.server.database_service.guards import Guards
from aitrading.server.database_service.metrics_history.catalogue import Catalogue
from aitrading.server.database_service.metrics_history.port import PointStore
from aitrading.server.database_service.metrics_history.settings import HistorySettings
from aitrading.server.database_service.metrics_history.store import ClickHousePointStore
from aitrading.server.database_service.metrics_history.store_postgres import PostgresPointStore
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.store_settings import StoreSettings


class HistoryPlace(NamedTuple):
    """A store and who keeps it from being asked while it is sick."""

    store: PointStore
    writes: CircuitBreaker
    reads: CircuitBreaker


def make_history_place(
    stores: StoreSettings, clickhouse: ClickHouse, pool: PostgresPool, guards: Guards
) -> HistoryPlace:
    """ClickHouse, or PostgreSQL where there is nothing else."""
    if stores.postgres_alone:
        return HistoryPlace(PostgresPointStore(pool), guards.postgres, guards.postgres)
    return HistoryPlace(
        ClickHousePointStore(clickhouse), guards.clickhouse_writes, guards.clickhouse_reads
    )


def make_catalogue(pool: PostgresPool, settings: HistorySettings) -> Catalogue:
    """With the limit that the settings set."""
    return Catalogue(pool, settings.series_per_service)
