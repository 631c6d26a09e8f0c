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
    names: CircuitBreaker
    """In front of PostgreSQL, where the catalogue is in either case."""


def make_history_place(
    stores: StoreSettings, clickhouse: ClickHouse, pool: PostgresPool, guards: Guards
) -> HistoryPlace:
    """ClickHouse, or PostgreSQL where there is nothing else."""
    if stores.postgres_alone:
        one = guards.postgres
        return HistoryPlace(PostgresPointStore(pool), writes=one, reads=one, names=one)
    return HistoryPlace(
        ClickHousePointStore(clickhouse),
        writes=guards.clickhouse_writes,
        reads=guards.clickhouse_reads,
        names=guards.postgres,
    )


def make_catalogue(pool: PostgresPool, settings: HistorySettings) -> Catalogue:
    """With the limit that the settings set."""
    return Catalogue(pool, settings.series_per_service)
