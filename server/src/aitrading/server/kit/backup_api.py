"""What a backup and the database service say to each other, on the host's own interface.

* `POST /internal/v1/backups` with `BackupBegin` gives `BackupBegun`: the backup is in the books.
* `POST /internal/v1/backups/freeze` with `BackupNamed` gives `FrozenStore`: ClickHouse's parts as
  they are between two segments, as hard links that nothing changes.
* `POST /internal/v1/backups/end` with `BackupEnd`: how it went; lets go of the frozen parts.
* `POST /internal/v1/backups/verified` with `BackupVerified`: it was restored aside and examined.
* `GET /internal/v1/backups` gives `list[BackupRecord]`, the newest first.
"""

from typing import Final
from uuid import UUID

import msgspec

BACKUPS_PATH: Final = "/internal/v1/backups"
FREEZE_PATH: Final = f"{BACKUPS_PATH}/freeze"
END_PATH: Final = f"{BACKUPS_PATH}/end"
VERIFIED_PATH: Final = f"{BACKUPS_PATH}/verified"
BACKUPS_SHOWN_MAX: Final = 100


class BackupBegin(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A backup that is about to be made."""

    backup: UUID
    target: str


class AppliedMigration(msgspec.Struct, frozen=True, kw_only=True):
    """A migration of the running release."""

    engine: str
    file: str
    checksum: str


class BackupBegun(msgspec.Struct, frozen=True, kw_only=True):
    """What the marker needs to know of the stores."""

    migrations: tuple[AppliedMigration, ...]


class BackupNamed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which backup is meant."""

    backup: UUID


class FrozenTable(msgspec.Struct, frozen=True, kw_only=True):
    """One table, view or dictionary; `folder` is relative to the store's, empty without parts."""

    database: str
    name: str
    engine: str
    ddl: str
    folder: str = ""
    rows: int = 0


class FrozenStore(msgspec.Struct, frozen=True, kw_only=True):
    """Everything ClickHouse holds at one moment between two segments."""

    folder: str | None
    """Where its files are; None for an installation without a ClickHouse."""
    databases: tuple[str, ...]
    tables: tuple[FrozenTable, ...]


class BackupEnd(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a backup went."""

    backup: UUID
    ok: bool
    size_bytes: int = 0
    content_bytes: int = 0
    took_ms: int = 0
    reason: str = ""


class BackupVerified(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The outcome of restoring it aside."""

    backup: UUID
    ok: bool
    reason: str = ""


class BackupRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One backup as the books have it."""

    backup: UUID
    state: str
    """`running`, `made`, `failed` or `restored`."""
    target: str
    began_at: str
    age_s: int
    size_bytes: int | None
    took_ms: int | None
    verified_at: str | None
    reason: str | None
