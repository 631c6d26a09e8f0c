"""Backup and restore killed at each step, or out of space: nothing half-made counts for whole.

Each try goes through all the steps at which an earlier one died, on the same platform.
"""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from harness.platform import BIN, Platform, clean_environment, run_cli, wait_until
from harness.probes import UnixConnection, ask, sample

from aitrading.core.kit.errors import AitradingError
from aitrading.server.backup.archive import ArchiveReader
from aitrading.server.backup.errors import (
    BACKUP_NOT_WRITTEN,
    RESTORE_FAILED,
    RESTORE_HOME_NOT_EMPTY,
)
from aitrading.server.backup.noting import recorded
from aitrading.server.backup.sealing import OpenWith, SealedReader
from aitrading.server.backup.secrets_given import private_key_from_file, write_new_key
from aitrading.server.kit.backup_api import BackupRecord
from aitrading.server.supervisor.errors import HOME_NOT_USABLE
from aitrading.server.supervisor.home import Home

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
DYING: Final = Path(__file__).with_name("dying_command.py")
HALF_MADE: Final = (
    "in the books",
    "spool",
    "postgres",
    "clickhouse",
    "keys",
    "whole without a name",
)
UNAVAILABLE: Final = 3
RESTORING: Final = ("unpacking", "clickhouse child", "postgres running", "home without a name")


class Backups:
    """A platform and the folder its backups go to."""

    def __init__(self, platform: Platform, folder: Path) -> None:
        self.platform = platform
        self.key = folder / "key"
        self.public = write_new_key(self.key)
        self.folder = folder / "kept"
        self.folder.mkdir()

    def make(self, name: str, *, die: str = "", limit: int = 0) -> int:
        command = ("backup", str(self.folder / name), "--recovery-key", str(self.public))
        return ended(*command, "--home", str(self.platform.home), die=die, limit=limit)[0]

    def newest(self) -> BackupRecord:
        return recorded(Home(self.platform.home))[0]

    def reading(self, name: str) -> float:
        """One of the metrics of the database service about backups."""
        told = ask(
            UnixConnection(self.platform.home / "run" / "database-service.sock"), "/metrics"
        ).body.decode()
        return sample(told, f"aitrading_database_backup_{name}", {})

    def unpack(self, file: Path, folder: Path) -> set[str]:
        """Every part of it; raises when it is not whole."""
        with file.open("rb") as source:
            opened = SealedReader(
                source, file, OpenWith(recovery_key=private_key_from_file(self.key))
            )
            manifest = ArchiveReader(opened, file).unpack(folder).manifest
        return {part.name for part in manifest.parts}


def ended(*command: str, die: str = "", limit: int = 0) -> tuple[int, str, str]:
    """Run the command to its end, which may be its death; `limit` is the largest file it may write."""
    program = [sys.executable, str(DYING), die] if die else [str(BIN / "aitrading")]

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = subprocess.run(
        [*program, *command],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=clean_environment(),
        preexec_fn=limited if limit else None,
    )
    assert not die or done.returncode == -signal.SIGKILL, (die, done.stderr)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def backups(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Backups:
    return Backups(platform, tmp_path_factory.mktemp("backups"))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_backup_killed_before_it_is_whole_is_no_file_and_failed_in_the_books(
    backups: Backups, tmp_path: Path
) -> None:
    for place in HALF_MADE:
        backups.make("one.aitbackup", die=place)
        assert "one.aitbackup" not in names(backups.folder), place
        found = backups.newest()
        assert (found.state, found.target) == ("failed", str(backups.folder / "one.aitbackup"))
    assert backups.make("one.aitbackup") == 0
    assert names(backups.folder) == ["one.aitbackup"], "what killed ones left is still there"
    assert {"postgres", "clickhouse", "spool", "keys"} <= backups.unpack(
        backups.folder / "one.aitbackup", tmp_path / "out"
    )
    assert backups.newest().state == "made"


def test_a_backup_killed_after_it_was_whole_was_made(backups: Backups, tmp_path: Path) -> None:
    for number, place in enumerate(("two names", "end not noted")):
        file = backups.folder / f"whole{number}.aitbackup"
        backups.make(file.name, die=place)
        assert backups.unpack(file, tmp_path / f"{number}")
        assert (backups.newest().state, backups.newest().target) == ("made", str(file))
        moved = file.rename(tmp_path / file.name)
        before = moved.read_bytes()
        assert backups.make(file.name) == 0, "the name is free again"
        assert moved.read_bytes() == before, "a second backup wrote into the first"
    assert not [name for name in names(backups.folder) if name.endswith(".partial")]


def test_a_full_disk_leaves_no_file_and_its_reason_in_the_books(backups: Backups) -> None:
    before = names(backups.folder)
    assert backups.make("full.aitbackup", limit=8 << 10) == UNAVAILABLE
    assert names(backups.folder) == before
    found = backups.newest()
    assert found.state == "failed"
    assert BACKUP_NOT_WRITTEN.error(path=found.target, reason=os.strerror(27)).message in str(
        found.reason
    )


def test_what_watches_the_platform_sees_age_and_outcome_of_backups(
    backups: Backups,
) -> None:
    assert backups.make("watched.aitbackup") == 0
    assert backups.reading("last_ok") == 1
    assert 0 <= backups.reading("age_s") < 60
    backups.make("watched2.aitbackup", die="spool")
    assert backups.newest().state == "failed"
    assert backups.reading("last_ok") == 0
    assert backups.make("watched3.aitbackup") == 0


def test_a_restore_that_died_or_found_no_space_leaves_no_home_and_can_be_repeated(
    backups: Backups, tmp_path: Path
) -> None:
    assert backups.make("back.aitbackup") == 0
    home = tmp_path / "home"
    command = (
        *("restore", str(backups.folder / "back.aitbackup")),
        *("--recovery-key", str(backups.key), "--home", str(home)),
    )
    code, _, said = ended(*command, limit=2 << 20)
    assert (code, RESTORE_FAILED.code in said) == (UNAVAILABLE, True), said
    assert names(tmp_path) == [], "something was left of a restore without space"
    for place in RESTORING:
        _, said, _ = ended(*command, die=place)
        for child in said.split():
            wait_until(lambda child=child: gone(child), what=f"{child} dying with the restore")
        assert not home.exists(), place
        half = tmp_path / ".home.restoring"
        if (half / ".unpacked").exists():
            with pytest.raises(AitradingError) as refused:
                Home(half).create()
            assert refused.value.spec is HOME_NOT_USABLE
    ended(*command, die="home has its name")
    code, _, said = ended(*command)
    assert (code, RESTORE_HOME_NOT_EMPTY.code in said) == (1, True), said
    assert {"postgres", "clickhouse", "keys"} <= set(names(home))


def test_a_restore_never_touches_the_home_that_is_there(backups: Backups) -> None:
    platform = backups.platform
    file, before = backups.folder / "any.aitbackup", names(platform.home)
    done = run_cli("restore", str(file), "--recovery-key", str(backups.key), home=platform.home)
    assert (done.returncode, RESTORE_HOME_NOT_EMPTY.code in done.stderr) == (1, True)
    assert names(platform.home) == before
    assert platform.told()["ready"]


def gone(pid: str) -> bool:
    try:
        return "Z" in Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2]
    except FileNotFoundError:
        return True
