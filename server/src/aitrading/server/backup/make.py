"""Making a backup: one at a time, beside the running platform, whole under its name or not there."""

import fcntl
import glob
import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

import msgspec

from aitrading.core.infrastructure.files import sync_folder, try_lock
from aitrading.core.kit.clock import NS_PER_MS, rfc3339_of_ns
from aitrading.core.kit.errors import AitradingError
from aitrading.server.backup.archive import ArchiveWriter
from aitrading.server.backup.errors import BACKUP_ELSEWHERE, BACKUP_NOT_WRITTEN, BACKUP_RUNNING
from aitrading.server.backup.manifest import FORMAT, Manifest, Marker, MigrationMark
from aitrading.server.backup.parts import SERVICE, parts_of
from aitrading.server.backup.sealing import SealedWriter, SealFor
from aitrading.server.engines.passwords import PasswordStore
from aitrading.server.engines.postgres import SUPERUSER, PostgresEngine, PostgresFolders
from aitrading.server.kit.backup_api import (
    BACKUPS_PATH,
    END_PATH,
    BackupBegin,
    BackupBegun,
    BackupEnd,
    BackupRecord,
)
from aitrading.server.kit.bundle import PostgresAccess, load_bundle
from aitrading.server.supervisor.admin_client import AdminClient
from aitrading.server.supervisor.assembly import Kit
from aitrading.server.supervisor.errors import NOT_RUNNING
from aitrading.server.supervisor.home import Home

T = TypeVar("T")
SUFFIX: Final = ".aitbackup"
PARTIAL: Final = ".partial"
LOCK_FILE: Final = "backup.lock"
RUNNING: Final = "running"
DIED: Final = "its process ended before it was whole"


class BackupReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was made."""

    path: str
    manifest: Manifest
    size_bytes: int
    took_ms: int


class Books:
    """The database service's book of backups, asked over the host's own socket."""

    def __init__(self, client: AdminClient) -> None:
        self._client = client

    def entries(self) -> list[BackupRecord]:
        """The newest first."""
        return self._client.request(
            "call", list[BackupRecord], peer=SERVICE, method="GET", path=BACKUPS_PATH
        )

    def close_dead(self) -> None:
        """Enter how those ended whose process is gone; ask only while holding `only_backup`.

        A file has its name only when it is whole, so a name that is there was made.
        """
        for entry in self.entries():
            if entry.state == RUNNING:
                self.post(END_PATH, _end_of_dead(entry), msgspec.Raw)

    def post(self, path: str, body: msgspec.Struct, answer: type[T]) -> T:
        """Send one entry."""
        return self._client.request(
            "call", answer, peer=SERVICE, method="POST", path=path, body=msgspec.to_builtins(body)
        )


def make_backup(home: Home, target: Path, seal_for: SealFor, kit: Kit) -> BackupReport:
    """Write everything of a running home into one encrypted file.

    Raises BACKUP_RUNNING, BACKUP_ELSEWHERE, BACKUP_NOT_WRITTEN, NOT_RUNNING or a store's error; then
    there is no file of that name, and the books say that it failed.
    """
    began_ns = kit.clock.monotonic_ns()
    superuser = _superuser(home, kit)
    with only_backup(home):
        path = _file_for(target, kit)
        client = AdminClient(home)
        books, backup = Books(client), kit.ids.new()
        books.close_dead()
        _require_free(path)  # before it is in the books: what has the name is not this backup
        marker_ns = kit.clock.now_ns()
        wanted = BackupBegin(backup=backup, target=str(path))
        begun = books.post(BACKUPS_PATH, wanted, BackupBegun)
        marker = Marker(
            format=FORMAT,
            backup=backup,
            at=rfc3339_of_ns(marker_ns),
            release=load_bundle(home.bundles / f"{SERVICE}.json").version,
            home=str(home.root),
            migrations=tuple(
                MigrationMark(engine=one.engine, file=one.file, checksum=one.checksum)
                for one in begun.migrations
            ),
        )
        try:
            with whole_file(path, backup.hex) as file:
                archive = ArchiveWriter(SealedWriter(file, seal_for), marker)
                for part in parts_of(home, superuser, client):
                    part.write(archive)
                manifest = archive.finish()
        except BaseException as exc:
            failed = BackupEnd(backup=backup, ok=False, reason=str(exc))
            with suppress(AitradingError):  # the platform may be what failed
                books.post(END_PATH, failed, msgspec.Raw)
            raise
        took_ms = (kit.clock.monotonic_ns() - began_ns) // NS_PER_MS
        size = path.stat().st_size
        end = BackupEnd(
            backup=backup,
            ok=True,
            size_bytes=size,
            content_bytes=manifest.size_bytes,
            took_ms=took_ms,
        )
        books.post(END_PATH, end, msgspec.Raw)
    return BackupReport(path=str(path), manifest=manifest, size_bytes=size, took_ms=took_ms)


@contextmanager
def only_backup(home: Home) -> Generator[None]:
    """Hold the right to back up this home; the kernel takes it back when we die."""
    descriptor = os.open(home.root / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise BACKUP_RUNNING.error(home=str(home.root)) from exc
        yield
    finally:
        os.close(descriptor)


@contextmanager
def whole_file(path: Path, own: str) -> Generator[BinaryIO]:
    """A file that has its name once it is whole and on the disk, mode 0600.

    Until then it has a name that holds `own`, and a lock by which it is known to be in the making.
    Raises BACKUP_NOT_WRITTEN.
    """
    partial = path.with_name(f".{path.name}.{own}{PARTIAL}")
    try:
        _require_free(path)
        _remove_left(path.parent, f".{glob.escape(path.name)}.*{PARTIAL}")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.link(partial, path)  # unlike a rename it never replaces what came there meanwhile
            partial.unlink()
            sync_folder(path.parent)
    except OSError as exc:
        raise BACKUP_NOT_WRITTEN.error(path=str(path), reason=exc.strerror or str(exc)) from exc
    finally:
        partial.unlink(missing_ok=True)


def _require_free(path: Path) -> None:
    if path.exists():
        raise BACKUP_NOT_WRITTEN.error(path=str(path), reason="there is a file of this name")


def _remove_left(folder: Path, pattern: str) -> None:
    """Remove what killed backups left; one that is being written holds its lock and stays.

    It is never opened for writing: killed between its two names, it is the same file as a backup.
    """
    for left in folder.glob(pattern):
        lock = try_lock(left)
        if lock is not None:
            left.unlink(missing_ok=True)
            os.close(lock)


def _end_of_dead(entry: BackupRecord) -> BackupEnd:
    path = Path(entry.target)
    if not path.is_file():
        return BackupEnd(backup=entry.backup, ok=False, reason=DIED)
    return BackupEnd(backup=entry.backup, ok=True, size_bytes=path.stat().st_size)


def _file_for(target: Path, kit: Kit) -> Path:
    """The file itself, or a name by time in a folder, from which half-made ones are removed."""
    if not target.is_dir():
        return target
    _remove_left(target, f".aitrading-*{SUFFIX}.*{PARTIAL}")
    stamp = rfc3339_of_ns(kit.clock.now_ns())[:19].replace("-", "").replace(":", "")
    return target / f"aitrading-{stamp}Z{SUFFIX}"


def _superuser(home: Home, kit: Kit) -> PostgresAccess:
    """How to read past row security; raises when the stores are not here."""
    try:
        bundle = load_bundle(home.bundles / f"{SERVICE}.json")
    except OSError as exc:
        raise NOT_RUNNING.error(home=str(home.root)) from exc
    if any(access.tls for access in bundle.postgres.values()):
        raise BACKUP_ELSEWHERE.error(store="PostgreSQL")
    if bundle.clickhouse is not None and bundle.clickhouse.url is not None:
        raise BACKUP_ELSEWHERE.error(store="ClickHouse")
    folders = PostgresFolders(data_root=home.postgres, socket_folder=home.run / "pg")
    passwords = PasswordStore(home.passwords, kit.randomness)
    return PostgresEngine(folders, passwords).access(SUPERUSER)
