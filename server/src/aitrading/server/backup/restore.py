"""Putting a backup back: beside the new home first, which appears whole or not at all."""

import asyncio
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import msgspec

from aitrading.core.infrastructure.files import sync_folder
from aitrading.core.kit.clock import NS_PER_MS
from aitrading.core.kit.errors import AitradingError
from aitrading.server.backup.archive import ArchiveReader
from aitrading.server.backup.errors import (
    BACKUP_DAMAGED,
    BACKUP_KEY_WRONG,
    BACKUP_TOO_NEW,
    BACKUP_UNREADABLE,
    RESTORE_FAILED,
    RESTORE_HOME_NOT_EMPTY,
    RESTORE_RUNNING,
)
from aitrading.server.backup.manifest import Manifest, Marker
from aitrading.server.backup.parts import (
    CLICKHOUSE,
    CONFIGURATION,
    DUMP_FILE,
    FOLDERS,
    POSTGRES,
    PRIVATE_FOLDERS,
    dying_with_us,
    postgres_environment,
)
from aitrading.server.backup.sealed_files import DEVELOPMENT, require_openable
from aitrading.server.backup.sealing import OpenWith, SealedReader
from aitrading.server.database_service.backups.book import BackupBook
from aitrading.server.database_service.backups.catalogue import known_migrations
from aitrading.server.database_service.clickhouse.rebuild import TableRows
from aitrading.server.engines.base import wait_until_ready
from aitrading.server.engines.binaries import postgres_binary
from aitrading.server.engines.passwords import PasswordStore
from aitrading.server.engines.postgres import SUPERUSER, PostgresEngine, PostgresFolders
from aitrading.server.engines.process import start_process
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.row_security import require_row_security
from aitrading.server.kit.tenancy import PLATFORM
from aitrading.server.personal_data.keys import FieldKeys
from aitrading.server.personal_data.masters import FOLDER, MasterFolder
from aitrading.server.supervisor.assembly import Kit
from aitrading.server.supervisor.home import UNPACKED

KEYS_CHECKED: Final = "0014_keys_checked_at_start.sql"
"""Backups before this migration hold nothing that the role of the check may read."""
POSTGRES_START_S: Final = 60.0
REBUILD_TIMEOUT_S: Final = 6 * 3_600
_OF_THE_FILE: Final = (BACKUP_DAMAGED, BACKUP_KEY_WRONG, BACKUP_TOO_NEW, BACKUP_UNREADABLE)
_REBUILD: Final = "aitrading.server.database_service.clickhouse.rebuild"


class RestoreReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was put back, and what was found when it was examined."""

    home: str
    manifest: Manifest
    tables: tuple[TableRows, ...]
    took_ms: int

    @property
    def rows(self) -> int:
        """In ClickHouse."""
        return sum(table.rows for table in self.tables)


def restore_backup(file: Path, home: Path, open_with: OpenWith, kit: Kit) -> RestoreReport:
    """Make a home from a backup; start the platform in it afterwards.

    Raises what `sealing` and `archive` raise, BACKUP_TOO_NEW, RESTORE_HOME_NOT_EMPTY,
    RESTORE_RUNNING or RESTORE_FAILED; then there is nothing at `home` that was not there before.
    """
    home = home.expanduser().absolute()
    _require_empty(home)
    home.parent.mkdir(parents=True, exist_ok=True)
    with _aside(home) as staging:
        report = _restore_into(staging, file, home, open_with, kit)
        os.sync()
        try:
            staging.rename(home)  # replaces an empty folder, refuses any other
        except OSError as exc:
            raise RESTORE_HOME_NOT_EMPTY.error(home=str(home)) from exc
        sync_folder(home.parent)
    return report


def verify_backup(file: Path, open_with: OpenWith, kit: Kit) -> RestoreReport:
    """Restore into a temporary home beside the file's disk, examine it, and remove it again."""
    with tempfile.TemporaryDirectory(prefix="aitrading-verify-") as folder:
        home = Path(folder) / "home"
        with _aside(home) as staging:
            return _restore_into(staging, file, home, open_with, kit)


def _restore_into(
    staging: Path, file: Path, home: Path, open_with: OpenWith, kit: Kit
) -> RestoreReport:
    began_ns = kit.clock.monotonic_ns()
    unpacked = staging / UNPACKED
    with _explained(home, "unpacking it"):
        manifest = _unpack(file, unpacked, open_with)
        _place(unpacked, staging)
    with _explained(home, "opening what lies sealed"):
        require_openable(staging)
    with _explained(home, "rebuilding ClickHouse"):
        tables = _rebuild_clickhouse(unpacked / CLICKHOUSE, staging / "clickhouse")
    with _explained(home, "rebuilding PostgreSQL"):
        asyncio.run(
            _rebuild_postgres(unpacked / POSTGRES / DUMP_FILE, staging, home, manifest, kit)
        )
    shutil.rmtree(unpacked)
    took_ms = (kit.clock.monotonic_ns() - began_ns) // NS_PER_MS
    return RestoreReport(home=str(home), manifest=manifest, tables=tables, took_ms=took_ms)


def _unpack(file: Path, folder: Path, open_with: OpenWith) -> Manifest:
    try:
        source = file.open("rb")
    except OSError as exc:
        reason = exc.strerror or str(exc)
        raise BACKUP_UNREADABLE.error(path=str(file), reason=reason) from exc
    with source:
        archive = ArchiveReader(SealedReader(source, file, open_with), file)
        _require_known(archive.marker)
        folder.mkdir(mode=0o700)
        return archive.unpack(folder).manifest


def _require_known(marker: Marker) -> None:
    """The data must not be newer than the code."""
    known = {(one.engine, one.file): one.checksum for one in known_migrations()}
    for mark in marker.migrations:
        if known.get((mark.engine, mark.file)) != mark.checksum:
            migration = f"{mark.engine}/{mark.file}"
            raise BACKUP_TOO_NEW.error(release=marker.release, migration=migration)


def _place(unpacked: Path, staging: Path) -> None:
    for part, folder in {**FOLDERS, **PRIVATE_FOLDERS}.items():
        if (unpacked / part).exists():
            (unpacked / part).rename(staging / folder)
    for path in (unpacked / CONFIGURATION).glob("*"):
        path.rename(staging / path.name)


def _rebuild_clickhouse(frozen: Path, folder: Path) -> tuple[TableRows, ...]:
    done = subprocess.run(  # noqa: S603 - our own module
        [sys.executable, "-I", "-m", _REBUILD, str(folder), str(frozen)],
        capture_output=True,
        check=False,
        timeout=REBUILD_TIMEOUT_S,
        preexec_fn=dying_with_us(),
    )
    if done.returncode != 0:
        raise OSError(done.stderr.decode(errors="replace").strip()[-500:])
    tables = msgspec.json.decode(done.stdout, type=tuple[TableRows, ...])
    for table in tables:
        if table.rows != table.expected:
            raise OSError(f"{table.table} has {table.rows} rows instead of {table.expected}")
    return tables


async def _rebuild_postgres(
    dump: Path, staging: Path, home: Path, manifest: Manifest, kit: Kit
) -> None:
    async with _running_postgres(staging, kit) as engine:
        await asyncio.to_thread(_load, engine, dump)
        pool = PostgresPool(engine.access("database"), application="aitrading-restore")
        await pool.start()
        try:
            async with pool.platform_read() as tx:
                await require_row_security(tx)
            if any(mark.file == KEYS_CHECKED for mark in manifest.marker.migrations):
                await _require_keys(pool, staging)
            book = BackupBook(pool, kit.clock, kit.ids)
            await book.restored(manifest.marker.backup, str(home))
        finally:
            await pool.stop()


async def _require_keys(pool: PostgresPool, staging: Path) -> None:
    """A backup whose keys do not open its database gives back a platform that nobody can enter."""
    masters = MasterFolder(staging / "keys" / FOLDER, environment=DEVELOPMENT)
    async with pool.tenant_read(PLATFORM) as tx:
        await FieldKeys(masters.load).of(tx)


def _load(engine: PostgresEngine, dump: Path) -> None:
    access = engine.access(SUPERUSER)
    done = subprocess.run(  # noqa: S603 - our own program and values
        [
            str(postgres_binary("pg_restore")),
            "--exit-on-error",
            "--single-transaction",
            "--no-password",
            f"--host={access.host}",
            f"--port={access.port}",
            f"--username={access.user}",
            f"--dbname={access.database}",
            str(dump),
        ],
        env=postgres_environment(access),
        capture_output=True,
        check=False,
        preexec_fn=dying_with_us(),
    )
    if done.returncode != 0:
        raise OSError(f"pg_restore: {done.stderr.decode(errors='replace').strip()[-500:]}")


@asynccontextmanager
async def _running_postgres(staging: Path, kit: Kit) -> AsyncGenerator[PostgresEngine]:
    """A fresh cluster with the roles of this release and the passwords of the backup."""
    with tempfile.TemporaryDirectory(prefix="ait-") as sockets:
        engine = PostgresEngine(
            PostgresFolders(data_root=staging / "postgres", socket_folder=Path(sockets) / "pg"),
            PasswordStore(staging / "keys" / "passwords", kit.randomness),
        )
        await engine.prepare()
        said = bytearray()
        process = start_process(engine.launch(), said.extend)
        try:
            await wait_until_ready(engine, process, kit.clock, timeout_s=POSTGRES_START_S)
            await engine.settle()
            yield engine
        finally:
            await process.stop()


@contextmanager
def _aside(home: Path) -> Generator[Path]:
    """A folder beside the home, gone at the end unless it became the home."""
    staging = home.with_name(f".{home.name}.restoring")
    descriptor = os.open(
        home.with_name(f".{home.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
    )
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise RESTORE_RUNNING.error(home=str(home)) from exc
        with _explained(home, "clearing what a killed restore left"):
            shutil.rmtree(staging, ignore_errors=True)
            staging.mkdir(mode=0o700)
        umask = os.umask(0o077)
        try:
            yield staging
        finally:
            os.umask(umask)
            shutil.rmtree(staging, ignore_errors=True)
            home.with_name(f".{home.name}.lock").unlink(missing_ok=True)
    finally:
        os.close(descriptor)


@contextmanager
def _explained(home: Path, step: str) -> Generator[None]:
    try:
        yield
    except AitradingError as exc:
        if exc.spec in _OF_THE_FILE:
            raise
        raise RESTORE_FAILED.error(home=str(home), step=step, reason=exc.message) from exc
    except (OSError, subprocess.SubprocessError, msgspec.MsgspecError) as exc:
        reason = (exc.strerror if isinstance(exc, OSError) else None) or str(exc)
        raise RESTORE_FAILED.error(home=str(home), step=step, reason=reason) from exc


def _require_empty(home: Path) -> None:
    try:
        empty = not any(home.iterdir())
    except FileNotFoundError:
        return
    except OSError:
        empty = False
    if not empty:
        raise RESTORE_HOME_NOT_EMPTY.error(home=str(home))
