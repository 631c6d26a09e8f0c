"""When a backup is due, and which of them stay, also while the clock is behind."""

import os
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.manual_clock import ManualClock
from aitrading.server.backup.__main__ import keep_newest
from aitrading.server.supervisor.home import Home
from aitrading.server.supervisor.scheduled_backups import ScheduledBackups
from aitrading.server.supervisor.settings import BackupSettings

HOUR_S = 3_600
EVERY_H = 24


class Folder:
    """Backups as the schedule makes them, each at the time of the clock."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.clock = ManualClock()
        settings = BackupSettings(every_h=EVERY_H, folder=str(place), recovery_key="key")
        births: Any = MagicMock()  # nothing is born here: only the plan is asked
        self.schedule = ScheduledBackups(Home(place / "home"), settings, births, self.clock)

    def make(self, name: str = "") -> Path:
        now_s = self.clock.now_ns() / 1e9
        path = self.place / f"aitrading-{name or f'{now_s:.0f}'}.aitbackup"
        path.touch()
        os.utime(path, (now_s, now_s))
        return path

    async def made_in(self, hours: int) -> int:
        """How many backups the schedule makes, if it is looked at every hour."""
        made = 0
        for _ in range(hours):
            await self.clock.advance(HOUR_S)
            if self.schedule.due():
                self.make()
                made += 1
        return made


@async_test
async def test_a_backup_is_due_when_the_newest_is_too_old(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    assert folder.schedule.due(), "there is none"
    folder.make()
    assert not folder.schedule.due()
    assert await folder.made_in(24 * 10) == 10


@pytest.mark.parametrize("back_s", [HOUR_S, 24 * HOUR_S, 365 * 24 * HOUR_S])
def test_backups_go_on_when_the_clock_is_set_back(tmp_path: Path, back_s: int) -> None:
    @async_test
    async def scenario() -> None:
        folder = Folder(tmp_path)
        folder.make()
        assert await folder.made_in(24 * 3 + 12) == 3
        folder.clock.step_wall(-back_s)
        assert 1 <= await folder.made_in(24) <= 2, "not after the length of the step"
        assert 9 <= await folder.made_in(24 * 10) <= 10, "and as often as before"

    scenario()


def test_what_was_just_made_stays_whatever_its_name(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    later = [folder.make(f"20990{number}") for number in range(1, 4)]
    made = folder.make("202611")
    assert keep_newest(tmp_path, 2, made) == later[:2]
    assert sorted(tmp_path.glob("*.aitbackup")) == [made, later[2]]
    assert keep_newest(tmp_path, 1, made) == later[2:]
    assert keep_newest(tmp_path, 5, made) == []
