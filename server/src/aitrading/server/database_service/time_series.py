"""Where ticks and bars of this installation lie: in ClickHouse, or in PostgreSQL alone.

What the ledger calls stored must be found where it is looked for, so the place is written down
at the first start and a start with another setting is refused.
"""

from typing import ClassVar, Final

from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.kit.errors import Category, ErrorSpec, Impact
from aitrading.server.database_service.bars.port import BarStore
from aitrading.server.database_service.bars.store import ClickHouseBarStore
from aitrading.server.database_service.bars.store_postgres import PostgresBarStore
from aitrading.server.database_service.clickhouse.port import ClickHouse
from aitrading.server.database_service.ticks.port import TickStore
from aitrading.server.database_service.ticks.store import ClickHouseTickStore
from aitrading.server.database_service.ticks.store_postgres import PostgresTickStore
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.queries import Queries
from aitrading.server.kit.store_settings import StoreSettings

CLICKHOUSE: Final = "clickhouse"
POSTGRES: Final = "postgres"
_SQL: Final = Queries.load(__package__ or "", "time_series.sql")

TIME_SERIES_ELSEWHERE: Final = ErrorSpec(
    code="TIME_SERIES_ELSEWHERE",
    category=Category.FATAL,
    message="This installation keeps its ticks in {place}, and the settings say {wanted}.",
    why="The first start decided, and `stores.postgres_alone` was changed since: ticks that count "
    "as stored would be out of sight.",
    remedy="Set it back. To change the place, begin with an empty home and send history again.",
    impact=Impact.MARKET_DATA,
)


class TimeSeriesPlace:
    """Notes the place at the first start and compares it at every other."""

    name: ClassVar[str] = "time-series-place"
    depends_on: ClassVar[tuple[str, ...]] = ("postgres-schema",)

    def __init__(self, pool: PostgresPool, settings: StoreSettings) -> None:
        self.state = ComponentState.NEW
        self._pool = pool
        self._wanted = POSTGRES if settings.postgres_alone else CLICKHOUSE

    async def start(self) -> None:
        """Raises `TIME_SERIES_ELSEWHERE`."""
        async with self._pool.platform_tx() as tx:
            await tx.execute(_SQL["note"], self._wanted)
            place = await tx.fetch_value(_SQL["place"])
        if place != self._wanted:
            raise TIME_SERIES_ELSEWHERE.error(place=place, wanted=self._wanted)
        self.state = ComponentState.HEALTHY

    async def stop(self) -> None:
        """Nothing runs."""
        self.state = ComponentState.STOPPED


def make_tick_store(
    settings: StoreSettings, clickhouse: ClickHouse, pool: PostgresPool
) -> TickStore:
    """The store of ticks that the settings choose."""
    return PostgresTickStore(pool) if settings.postgres_alone else ClickHouseTickStore(clickhouse)


def make_bar_store(
    settings: StoreSettings, clickhouse: ClickHouse, pool: PostgresPool
) -> BarStore:
    """The store of bars that goes with it."""
    return PostgresBarStore(pool) if settings.postgres_alone else ClickHouseBarStore(clickhouse)
