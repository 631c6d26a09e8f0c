"""Backups by the clock: a process of its own makes each; the platform does not wait for it."""

import logging
import os
from collections.abc import Collection
from pathlib import Path
from typing import Final

from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.core.security.db_security_manager import Store
from aitrading.server.engines.process import Launch
from aitrading.server.supervisor.births import Births
from aitrading.server.supervisor.environment import inherited_environment
from aitrading.server.supervisor.errors import (
    BACKUP_SCHEDULE_ELSEWHERE,
    BACKUP_SCHEDULE_INCOMPLETE,
)
from aitrading.server.supervisor.home import CLOCK_TOLERANCE_S, Home
from aitrading.server.supervisor.services import ISOLATED_PYTHON
from aitrading.server.supervisor.settings import BackupSettings

LOOK_EVERY_S: Final = 60.0
RETRY_AFTER_S: Final = 900.0
TIMEOUT_S: Final = 6 * 3_600.0
PATTERN: Final = "aitrading-*.aitbackup"
_MODULE: Final = "aitrading.server.backup"
_KEEP_TRUTH: Final = (Store.POSTGRES, Store.CLICKHOUSE)
"""Stores of which a backup needs everything; the others' contents are made again."""

_log = logging.getLogger(__name__)


def require_possible(settings: BackupSettings, servers: Collection[Store]) -> None:
    """Refuse a schedule of which every round would fail; `servers` are those given by URL.

    Raises BACKUP_SCHEDULE_INCOMPLETE or BACKUP_SCHEDULE_ELSEWHERE.
    """
    if not settings.every_h:
        return
    if not (settings.folder and settings.recovery_key):
        raise BACKUP_SCHEDULE_INCOMPLETE.error()
    elsewhere = [store for store in _KEEP_TRUTH if store in servers]
    if elsewhere:
        raise BACKUP_SCHEDULE_ELSEWHERE.error(store=elsewhere[0].value)


class ScheduledBackups:
    """Makes one whenever the newest file in the folder is older than the interval.

    The files themselves are its memory, so a restart neither skips nor repeats one.
    """

    def __init__(self, home: Home, settings: BackupSettings, births: Births, clock: Clock) -> None:
        self._home = home
        self._settings = settings
        self._births = births
        self._clock = clock
        self._folder = Path(settings.folder).expanduser().absolute()
        self._seen = frozenset[str]()
        self._new_at_ns = clock.monotonic_ns()

    async def run(self) -> None:
        """For as long as the platform runs; returns at once when there is no schedule."""
        while self._settings.every_h:
            await self._clock.sleep(LOOK_EVERY_S)
            if self.due() and not await self.make_one():
                await self._clock.sleep(RETRY_AFTER_S)

    def due(self) -> bool:
        """Whether the newest backup is too old, or there is none.

        One of the future tells nothing: the clock was set back since, nobody knows by how much.
        The clock that nobody sets is asked too: how long ago a new one was first seen here.
        """
        now_s, monotonic_ns = self._clock.now_ns() / NS_PER_S, self._clock.monotonic_ns()
        made_s = {path.name: path.stat().st_mtime for path in self._folder.glob(PATTERN)}
        if not made_s.keys() <= self._seen:
            self._new_at_ns = monotonic_ns
        self._seen = frozenset(made_s)
        ages_s = [now_s - each for each in made_s.values()]
        youngest_s = min((age for age in ages_s if age > -CLOCK_TOLERANCE_S), default=now_s)
        longest_s = max(youngest_s, (monotonic_ns - self._new_at_ns) / NS_PER_S)
        return longest_s >= self._settings.every_h * 3_600

    async def make_one(self) -> bool:
        """Whether there is a new backup; what failed is in the log and in the books."""
        settings = self._settings
        launch = Launch(
            command=(
                *(*ISOLATED_PYTHON, _MODULE),
                str(self._home.root),
                str(self._folder),
                str(settings.keep),
                settings.recovery_key,
            ),
            environment=inherited_environment(os.environ),
            folder=self._home.root,
        )
        try:
            code, said = await self._births.run_to_end(launch, timeout_s=TIMEOUT_S)
        except (OSError, TimeoutError) as exc:
            code, said = 1, str(exc)
        if code != 0:
            _log.error("the scheduled backup was not made: %s", said.strip()[-500:])
            return False
        _log.info("scheduled backup: %s", said.strip())
        return True
