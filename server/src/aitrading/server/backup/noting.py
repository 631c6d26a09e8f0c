"""The books about backups as a command on the host sees them."""

from uuid import UUID

import msgspec

from aitrading.core.kit.errors import AitradingError
from aitrading.server.backup.errors import BACKUP_RUNNING
from aitrading.server.backup.make import RUNNING, Books, only_backup
from aitrading.server.kit.backup_api import VERIFIED_PATH, BackupRecord, BackupVerified
from aitrading.server.supervisor.admin_client import AdminClient
from aitrading.server.supervisor.errors import NOT_RUNNING
from aitrading.server.supervisor.home import Home


def recorded(home: Home) -> list[BackupRecord]:
    """What the running platform knows; raises NOT_RUNNING.

    One that is `running` although nobody makes one died, and is entered as that first.
    """
    books = Books(AdminClient(home))
    entries = books.entries()
    if not any(entry.state == RUNNING for entry in entries):
        return entries
    try:
        with only_backup(home):
            books.close_dead()
    except AitradingError as exc:
        if exc.spec is not BACKUP_RUNNING:
            raise
    return books.entries()


def noted(home: Home, backup: UUID) -> bool:
    """Tell the platform that a backup was seen to restore; False when none runs here."""
    try:
        Books(AdminClient(home)).post(
            VERIFIED_PATH, BackupVerified(backup=backup, ok=True), msgspec.Raw
        )
    except AitradingError as exc:
        if exc.code == NOT_RUNNING.code:
            return False
        raise
    return True
