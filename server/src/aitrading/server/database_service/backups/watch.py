"""How old the newest backup is and how the last one went, for whoever watches the platform."""

from collections.abc import Iterator
from datetime import datetime
from typing import ClassVar, Final

from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.lifecycle import ComponentState, TaskSet
from aitrading.core.infrastructure.metrics import Metric, MetricKind, Metrics, Reading
from aitrading.core.kit.clock import Clock, now_utc
from aitrading.core.kit.errors import AitradingError
from aitrading.server.database_service.backups.book import BackupBook

LOOK_EVERY_S: Final = 60.0
BACKUP_AGE: Final = Metric(
    name="aitrading_database_backup_age_s",
    kind=MetricKind.GAUGE,
    help="Age of the newest whole backup, from the moment it stands for; absent while there is none.",
)
BACKUP_LAST_OK: Final = Metric(
    name="aitrading_database_backup_last_ok",
    kind=MetricKind.GAUGE,
    help="1 when the last backup that ended was made, 0 when it failed; absent while none ended.",
)


class BackupWatch:
    """Reads the books at the start, every minute, and when an entry is closed.

    While the books cannot be read, the age of what was last known goes on growing.
    """

    name: ClassVar[str] = "backup-watch"
    critical: ClassVar[bool] = False
    depends_on: ClassVar[tuple[str, ...]] = ("postgres-schema",)

    def __init__(
        self, book: BackupBook, metrics: Metrics, clock: Clock, errors: ErrorHandler
    ) -> None:
        self._state = ComponentState.NEW
        self._book = book
        self._clock = clock
        self._errors = errors
        self._newest: datetime | None = None
        self._last_ok: bool | None = None
        self._tasks = TaskSet(self.name, on_error=self._failed)
        metrics.add_source(self._readings)

    @property
    def state(self) -> ComponentState:
        """DEGRADED for a minute after its work failed; it goes on."""
        return self._tasks.judged(self._state)

    async def start(self) -> None:
        """Look from now on."""
        self._tasks.keep(self._look_for_ever, name="look", clock=self._clock)
        self._state = ComponentState.HEALTHY

    async def stop(self) -> None:
        """Look no more."""
        await self._tasks.close()
        self._state = ComponentState.STOPPED

    async def look(self) -> None:
        """Read the books now."""
        self._newest, self._last_ok = await self._book.standing()

    def _readings(self) -> Iterator[Reading]:
        if self._newest is not None:
            age = now_utc(self._clock) - self._newest
            yield Reading(BACKUP_AGE, max(0.0, age.total_seconds()))
        if self._last_ok is not None:
            yield Reading(BACKUP_LAST_OK, float(self._last_ok))

    async def _look_for_ever(self) -> None:
        while True:
            try:
                await self.look()
            except AitradingError as exc:
                self._errors.classify(exc)
            await self._clock.sleep(LOOK_EVERY_S)

    def _failed(self, _task: str, exc: Exception) -> None:
        self._errors.classify(exc)
