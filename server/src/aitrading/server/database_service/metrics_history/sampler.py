"""Samples this process's own metrics at an interval.

Labels are summed away, so a sample says nothing of a tenant and the number of series is bounded by
the metrics that are declared. Samples are no evidence: what cannot be stored is dropped and counted.
"""

from itertools import islice
from math import isfinite
from typing import ClassVar, Final

from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.lifecycle import ComponentState, TaskSet
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.kit.clock import Clock
from aitrading.core.kit.errors import AitradingError
from aitrading.server.database_service.guards import Guards
from aitrading.server.database_service.metrics import SAMPLES_DROPPED
from aitrading.server.database_service.metrics_history.settings import HistorySettings
from aitrading.server.database_service.metrics_history.store import SampleStore
from aitrading.server.kit.store_settings import StoreSettings

MAX_SERIES: Final = 500
SERVICE: Final = "database-service"
LARGEST: Final = 1e15
"""A larger value does not fit in thousandths."""


class MetricSampler:
    """One sample of every counter and gauge per interval; none where there is no ClickHouse."""

    name: ClassVar[str] = "metric-sampler"
    critical: ClassVar[bool] = False
    depends_on: ClassVar[tuple[str, ...]] = ("clickhouse-schema",)

    def __init__(
        self,
        store: SampleStore,
        guards: Guards,
        settings: HistorySettings,
        stores: StoreSettings,
        clock: Clock,
        errors: ErrorHandler,
        metrics: Metrics,
    ) -> None:
        self.state = ComponentState.NEW
        self._store = store
        self._guards = guards
        self._settings = settings
        self._used = not stores.postgres_alone
        self._clock = clock
        self._errors = errors
        self._metrics = metrics
        self._tasks = TaskSet(self.name, on_error=self._failed)

    async def start(self) -> None:
        """Sample from now on."""
        if self._used:
            self._tasks.start(self._sample_for_ever(), name="sample")
        self.state = ComponentState.HEALTHY

    async def stop(self) -> None:
        """Sample no more."""
        await self._tasks.close()
        self.state = ComponentState.STOPPED

    async def sample(self) -> None:
        """Take and store one sample of everything; never raises for a store that is away."""
        found = {
            name: value
            for name, value in sorted(self._metrics.totals().items())
            if isfinite(value) and abs(value) < LARGEST
        }
        values = dict(islice(found.items(), MAX_SERIES))
        dropped = len(found) - len(values)
        try:
            with self._guards.clickhouse_writes.guard():
                await self._store.write(SERVICE, self._clock.now_ns() // 1_000_000, values)
        except AitradingError as exc:
            self._errors.classify(exc)
            dropped = len(found)
        if dropped:
            self._metrics.increment(SAMPLES_DROPPED, dropped)

    async def _sample_for_ever(self) -> None:
        while True:
            await self.sample()
            await self._clock.sleep(self._settings.sample_s)

    def _failed(self, _task: str, exc: Exception) -> None:
        self._errors.classify(exc)
        self.state = ComponentState.FAILED
