"""The books about backups as a command on the host sees them."""

from uuid import UUID

import msgspec

from aitrading.core.kit.errors import AitradingError
from aitrading.server.backup.make import Books
from aitrading.server.backup.parts import SERVICE
from aitrading.server.kit.backup_api import (
    BACKUPS_PATH,
    VERIFIED_PATH,
    BackupRecord,
    BackupVerified,
)
from aitrading.server.supervisor.admin_client import AdminClient
from aitrading.server.supervisor.errors import NOT_RUNNING
from aitrading.server.supervisor.home import Home


def recorded(home: Home) -> list[BackupRecord]:
    """What the running platform knows; raises NOT_RUNNING."""
    return AdminClient(home).request(
        "call", list[BackupRecord], peer=SERVICE, method="GET", path=BACKUPS_PATH
    )


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
