"""How old the newest backup is and how the last one went, for whoever watches the platform."""

from collections.abc import Iterator
from datetime import datetime
from typing import ClassVar, Final

from typing_extensions import override

from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.looping import LoopingComponent
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


class BackupWatch(LoopingComponent):
    """Reads the books at the start, every minute, and when an entry is closed.

    While the books cannot be read, the age of what was last known goes on growing.
    """

    critical: ClassVar[bool] = False
    depends_on: ClassVar[tuple[str, ...]] = ("postgres-schema",)

    def __init__(
        self, book: BackupBook, metrics: Metrics, clock: Clock, errors: ErrorHandler
    ) -> None:
        super().__init__("backup-watch", on_error=errors.classify)
        self._book = book
        self._clock = clock
        self._errors = errors
        self._newest: datetime | None = None
        self._last_ok: bool | None = None
        metrics.add_source(self._readings)

    @override
    async def start(self) -> None:
        """Look from now on."""
        self._tasks.keep(self._look_for_ever, name="look", clock=self._clock)
        self._state = ComponentState.HEALTHY

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
