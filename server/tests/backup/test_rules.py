"""What holds around a backup: whole or absent, one at a time, nothing half restored."""

import errno
import io
from pathlib import Path
from uuid import UUID

import pytest

from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import SystemIdFactory
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.security.crypto_streams import RecoveryKey
from aitrading.server.backup.__main__ import keep_newest
from aitrading.server.backup.archive import ArchiveWriter
from aitrading.server.backup.make import only_backup, whole_file
from aitrading.server.backup.manifest import FORMAT, Marker, MigrationMark
from aitrading.server.backup.restore import restore_backup
from aitrading.server.backup.sealing import OpenWith, SealedWriter, SealFor
from aitrading.server.kit.backup_api import BackupRecord
from aitrading.server.supervisor.assembly import Kit
from aitrading.server.supervisor.births import Births
from aitrading.server.supervisor.doctor.backups import STALE_AFTER_S, judge
from aitrading.server.supervisor.doctor.finding import Verdict
from aitrading.server.supervisor.home import Home
from aitrading.server.supervisor.scheduled_backups import ScheduledBackups
from aitrading.server.supervisor.settings import BackupSettings

KEY = RecoveryKey.generate()
CLOCK, RANDOM = SystemClock(), SystemRandomness()
KIT = Kit(clock=CLOCK, randomness=RANDOM, ids=SystemIdFactory(CLOCK, RANDOM))


def code_of(caught: pytest.ExceptionInfo[AitradingError]) -> str:
    return caught.value.code


def made(path: Path, *migrations: MigrationMark) -> Path:
    marker = Marker(
        format=FORMAT,
        backup=UUID(int=1),
        at="2026-01-01T00:00:00.000000Z",
        release="9",
        home="/home",
        migrations=migrations,
    )
    with path.open("wb") as file:
        archive = ArchiveWriter(SealedWriter(file, SealFor(recovery_keys=[KEY.public])), marker)
        archive.add_file("keys", "edge.pem", io.BytesIO(b"secret"))
        archive.finish()
    return path


def restore(file: Path, home: Path) -> str:
    with pytest.raises(AitradingError) as caught:
        restore_backup(file, home, OpenWith(recovery_key=KEY), KIT)
    return code_of(caught)


def test_a_full_disk_leaves_nothing_that_looks_like_a_backup(tmp_path: Path) -> None:
    path = tmp_path / "x.aitbackup"

    def fill() -> None:
        with whole_file(path) as file:
            file.write(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(AitradingError) as caught:
        fill()
    assert code_of(caught) == "BACKUP_NOT_WRITTEN"
    assert not list(tmp_path.iterdir())


def test_a_backup_never_replaces_a_file(tmp_path: Path) -> None:
    path = tmp_path / "x.aitbackup"
    path.write_bytes(b"precious")
    with pytest.raises(AitradingError) as caught, whole_file(path):
        pass
    assert code_of(caught) == "BACKUP_NOT_WRITTEN"
    assert path.read_bytes() == b"precious"


def test_one_backup_at_a_time(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with only_backup(home), pytest.raises(AitradingError) as caught, only_backup(home):
        pass
    assert code_of(caught) == "BACKUP_RUNNING"
    with only_backup(home):
        pass


def test_a_restore_never_mixes_with_what_is_there(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "kept").write_text("x")
    assert restore(made(tmp_path / "b"), home) == "RESTORE_HOME_NOT_EMPTY"
    assert [path.name for path in home.iterdir()] == ["kept"]


def test_data_newer_than_the_code_is_refused(tmp_path: Path) -> None:
    mark = MigrationMark(engine="postgres", file="9999_future.sql", checksum="x")
    assert restore(made(tmp_path / "b", mark), tmp_path / "home") == "BACKUP_TOO_NEW"
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_a_damaged_or_incomplete_backup_leaves_nothing_behind(tmp_path: Path) -> None:
    file = made(tmp_path / "b")
    assert restore(file, tmp_path / "home") == "RESTORE_FAILED"
    file.write_bytes(file.read_bytes()[:-1])
    assert restore(file, tmp_path / "home") == "BACKUP_DAMAGED"
    assert restore(tmp_path / "absent", tmp_path / "home") == "BACKUP_UNREADABLE"
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_of_backups_by_the_clock_the_newest_stay(tmp_path: Path) -> None:
    names = [f"aitrading-2026010{day}T000000Z.aitbackup" for day in range(1, 6)]
    for name in [*names, "mine.aitbackup"]:
        (tmp_path / name).touch()
    keep_newest(tmp_path, 2)
    assert {path.name for path in tmp_path.iterdir()} == {*names[-2:], "mine.aitbackup"}


def test_a_schedule_needs_a_place_and_a_key_and_is_due_by_its_files(tmp_path: Path) -> None:
    def schedule(settings: BackupSettings) -> ScheduledBackups:
        return ScheduledBackups(Home(tmp_path), settings, Births(None), CLOCK)

    with pytest.raises(AitradingError) as caught:
        schedule(BackupSettings(every_h=1))
    assert code_of(caught) == "BACKUP_SCHEDULE_INCOMPLETE"
    backups = schedule(BackupSettings(every_h=1, folder=str(tmp_path), recovery_key="k"))
    assert backups.due()
    (tmp_path / "aitrading-now.aitbackup").touch()
    assert not backups.due()


@pytest.mark.parametrize(
    ("state", "age_s", "verified_at", "verdict"),
    [
        ("made", 60, "2026-01-01", Verdict.OK),
        ("made", 60, None, Verdict.UNVERIFIED),
        ("made", STALE_AFTER_S + 1, "2026-01-01", Verdict.PROBLEM),
        ("failed", 60, None, Verdict.PROBLEM),
        ("restored", 60, None, Verdict.UNVERIFIED),
    ],
)
def test_the_doctor_judges_the_newest_backup(
    state: str, age_s: int, verified_at: str | None, verdict: Verdict
) -> None:
    record = BackupRecord(
        backup=UUID(int=1),
        state=state,
        target="/b",
        began_at="2026-01-01",
        age_s=age_s,
        size_bytes=1,
        took_ms=1,
        verified_at=verified_at,
        reason=None,
    )
    assert judge([record]).verdict is verdict
    assert judge([]).verdict is Verdict.UNVERIFIED
