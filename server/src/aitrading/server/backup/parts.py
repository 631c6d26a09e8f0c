"""What a backup consists of; each part knows how to get itself out and back in.

The order is the argument for consistency, with M the moment the backup begins:

1. **spool** (and what was set aside). A tick acknowledged before M is in a file of the spool, or it
   left it, which it does only after ClickHouse has it.
2. **postgres**, one snapshot. Streams are opened before their first tick, so every stream of the
   copied spool is in it.
3. **clickhouse**, frozen between two segments. The ledger is written after the rows it speaks of,
   so ClickHouse holds at least what the ledger says; what it holds beyond that are orphans, which
   the tick writer takes over. What is in the spool as well is recognised by its sequence numbers.
4. **trading** (kill switches), **keys**, **trust**, **configuration**: changed rarely, and a newer one
   opens what an older one did.

Nothing of record lives in Valkey (quotes, counters), NATS (transport) and `envoy` (written at
each start); `clients` is the edge of a customer, here only in a demo, and goes on by itself.
"""

import io
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Protocol, cast

import msgspec

from aitrading.server.backup.archive import ArchiveWriter
from aitrading.server.database_service.clickhouse.rebuild import STORE_FILE
from aitrading.server.engines.binaries import postgres_binary
from aitrading.server.engines.linux import die_with_parent
from aitrading.server.kit.backup_api import FREEZE_PATH, BackupNamed, FrozenStore
from aitrading.server.kit.bundle import PostgresAccess
from aitrading.server.supervisor.admin_client import AdminClient
from aitrading.server.supervisor.home import Home

SERVICE: Final = "database-service"
DUMP_FILE: Final = "aitrading.dump"
POSTGRES: Final = "postgres"
EXTENSIONS_SCHEMA: Final = "extensions"
"""Made anew with every cluster, like the roles."""
CLICKHOUSE: Final = "clickhouse"
FOLDERS: Final = {"spool": "spool", "quarantine": "quarantine"}
"""Part and folder of the home: copied first."""
PRIVATE_FOLDERS: Final = {"trading": "trading", "keys": "keys", "trust": "trust"}
"""Copied last."""
CONFIGURATION: Final = "configuration"
DERIVED: Final = frozenset(
    {
        "valkey",
        "nats",
        "envoy",
        "feeds",
        "logs",
        "clients",
        "run",
        "lock",
        "last-used",
        "backup.lock",
    }
)
"""What a home holds besides the parts and is made again."""


class BackupPart(Protocol):
    """One thing of the home that a backup keeps."""

    @property
    def name(self) -> str:
        """How it is called in the archive."""
        ...

    def write(self, archive: ArchiveWriter) -> None:
        """Write everything of it; raises the reason when it cannot."""
        ...


@dataclass(frozen=True)
class FolderPart:
    """Files below one folder, while others may write there: a file that goes is gone for a reason."""

    name: str
    folder: Path

    def write(self, archive: ArchiveWriter) -> None:
        """Look a second time for files that were renamed while the others were copied."""
        written: set[Path] = set()
        for _ in range(2):
            for path in self._present():
                if path not in written and self._write_one(archive, path):
                    written.add(path)

    def _present(self) -> Iterator[Path]:
        return (path for path in sorted(self.folder.rglob("*")) if path.is_file())

    def _write_one(self, archive: ArchiveWriter, path: Path) -> bool:
        with suppress(FileNotFoundError), path.open("rb") as file:
            mode = path.stat().st_mode & 0o777
            archive.add_file(self.name, str(path.relative_to(self.folder)), file, mode=mode)
            return True
        return False


@dataclass(frozen=True)
class FilePart:
    """One file, if it is there."""

    name: str
    path: Path

    def write(self, archive: ArchiveWriter) -> None:
        """Nothing when there is none."""
        with suppress(FileNotFoundError), self.path.open("rb") as file:
            archive.add_file(self.name, self.path.name, file)


@dataclass(frozen=True)
class PostgresPart:
    """One snapshot of the whole database, straight from the dump into the archive."""

    access: PostgresAccess
    name: str = POSTGRES

    def write(self, archive: ArchiveWriter) -> None:
        """Raises OSError with what the program said when the dump is not whole."""
        with subprocess.Popen(  # noqa: S603 - our own program and values
            [
                str(postgres_binary("pg_dump")),
                "--format=custom",
                "--compress=0",
                "--no-password",
                f"--exclude-schema={EXTENSIONS_SCHEMA}",
                "--exclude-extension=*",
                *_target(self.access),
            ],
            env=postgres_environment(self.access),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=dying_with_us(),  # noqa: PLW1509 - one system call runs in it
        ) as dump:
            assert dump.stdout is not None  # noqa: S101 - a pipe was asked for
            assert dump.stderr is not None  # noqa: S101 - a pipe was asked for
            try:
                archive.add_file(self.name, DUMP_FILE, cast("BinaryIO", dump.stdout))
            except BaseException:
                dump.kill()
                raise
            said = dump.stderr.read()
        if dump.returncode != 0:
            raise OSError(f"pg_dump: {said.decode(errors='replace').strip()[-500:]}")


@dataclass(frozen=True)
class ClickHousePart:
    """The parts as they are between two segments, and the definitions of their tables."""

    client: AdminClient
    name: str = CLICKHOUSE

    def write(self, archive: ArchiveWriter) -> None:
        """The frozen files stay until the backup has ended."""
        named = BackupNamed(backup=archive.marker.backup)
        store = self.client.request(
            "call",
            FrozenStore,
            peer=SERVICE,
            method="POST",
            path=FREEZE_PATH,
            body=msgspec.to_builtins(named),
        )
        archive.add_file(self.name, STORE_FILE, io.BytesIO(msgspec.json.encode(store)))
        if store.folder is not None:
            FolderPart(self.name, Path(store.folder)).write(archive)


def parts_of(home: Home, superuser: PostgresAccess, client: AdminClient) -> list[BackupPart]:
    """In the order that makes them consistent; see the module."""
    return [
        *(FolderPart(name, home.root / folder) for name, folder in FOLDERS.items()),
        PostgresPart(superuser),
        ClickHousePart(client),
        *(FolderPart(name, home.root / folder) for name, folder in PRIVATE_FOLDERS.items()),
        FilePart(CONFIGURATION, home.config_file),
    ]


def dying_with_us() -> Callable[[], None]:
    """For a child: killed as we are, a program leaves nothing at work behind us."""
    us = os.getpid()
    return lambda: die_with_parent(signal.SIGKILL, us)


def postgres_environment(access: PostgresAccess) -> Mapping[str, str]:
    """A password never stands on a command line."""
    return {"PGPASSWORD": access.password, "PGAPPNAME": "aitrading-backup", "LC_ALL": "C.UTF-8"}


def _target(access: PostgresAccess) -> tuple[str, ...]:
    return (
        f"--host={access.host}",
        f"--port={access.port}",
        f"--username={access.user}",
        f"--dbname={access.database}",
    )
