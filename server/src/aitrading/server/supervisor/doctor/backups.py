"""Whether there is a backup, whether it is recent, and whether it was ever seen to restore."""

from collections.abc import Iterator
from typing import Final

from aitrading.core.kit.errors import AitradingError
from aitrading.server.kit.backup_api import BACKUPS_PATH, BackupRecord
from aitrading.server.supervisor.admin_client import AdminClient
from aitrading.server.supervisor.doctor.finding import Finding, fine, problem, unverified, wrong
from aitrading.server.supervisor.errors import NOT_RUNNING
from aitrading.server.supervisor.home import Home

CHECK: Final = "backup"
STALE_AFTER_S: Final = 7 * 86_400
_HOUR_S: Final = 3_600
_MAKE: Final = (
    "Make one: `aitrading backup FOLDER`; `backup.every_h` makes them by the clock. Servers of your "
    "own are backed up with their own tools: see the runbook on backup and restore."
)
_VERIFY: Final = "Examine it: `aitrading backup verify FILE`."


def check_backups(home: Home) -> Iterator[Finding]:
    """What the books of the running platform say."""
    if home.holder() is None:
        return
    try:
        records = AdminClient(home).request(
            "call", list[BackupRecord], peer="database-service", method="GET", path=BACKUPS_PATH
        )
    except AitradingError as exc:
        yield _unasked(exc)
        return
    yield judge(records)


def _unasked(exc: AitradingError) -> Finding:
    """A platform that starts or ends just now cannot be asked; nothing is wrong with that."""
    if exc.spec is NOT_RUNNING:
        return unverified(CHECK, "The database service, which keeps the books, was not asked.")
    return wrong(CHECK, exc)


def judge(records: list[BackupRecord]) -> Finding:
    """One finding; records come newest first."""
    made = next((one for one in records if one.state == "made"), None)
    if records and records[0].state == "failed":
        return problem(
            CHECK, "The last backup failed.", cause=records[0].reason or "unknown", remedy=_MAKE
        )
    if made is None:
        return unverified(CHECK, "There is no backup of this installation.", remedy=_MAKE)
    age = f"The newest is {made.age_s // _HOUR_S} h old: {made.target}."
    if made.age_s > STALE_AFTER_S:
        cause = f"It is older than {STALE_AFTER_S // 86_400} days."
        return problem(CHECK, age, cause=cause, remedy=_MAKE)
    if made.verified_at is None:
        return unverified(CHECK, f"{age} It was never seen to restore.", remedy=_VERIFY)
    return fine(CHECK, f"{age} It was seen to restore.")
