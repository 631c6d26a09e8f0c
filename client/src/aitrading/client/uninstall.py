"""`aitrading-client uninstall`: nothing of this client is left on the machine, and no way back in.

First what the server and the system keep for it, then the files: a crash in between leaves a home
that the same command finishes. Files are overwritten before they go; on a solid-state disk or a file
system that copies on write that is a courtesy, so what counts is that keys, and with them everything
sealed, open nothing any more.
"""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aitrading.client.errors import CLIENT_HOME_IN_USE, CLIENT_HOME_STRANGE
from aitrading.client.security.credential_manager import CredentialManager
from aitrading.client.security.device_calls import DeviceCalls
from aitrading.client.security.device_files import FOLDER, DeviceFiles
from aitrading.client.security.protections import passphrase_in, protections
from aitrading.core.infrastructure.files import try_lock
from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.errors import AitradingError

LOCK: Final = "client.lock"
KNOWN: Final = (FOLDER, "journal", "aitrading.toml", "run.json", LOCK)
_CHUNK_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Uninstalled:
    """What became of it."""

    files: int
    server_told: bool
    why: str = ""


def uninstall(home: Path) -> Uninstalled:
    """Destroy what this client keeps; raises `CLIENT_HOME_IN_USE` or `CLIENT_HOME_STRANGE`."""
    if not home.exists():
        return Uninstalled(files=0, server_told=False, why="there is no such folder")
    if not any((home / name).exists() for name in KNOWN):
        raise CLIENT_HOME_STRANGE.error(home=str(home))
    lock = try_lock(home / LOCK)
    if lock is None:
        raise CLIENT_HOME_IN_USE.error(home=str(home))
    try:
        why = _forget(home)
        files = sum(_overwrite(path) for path in _secrets_first(home))
    finally:
        os.close(lock)
    shutil.rmtree(home)
    return Uninstalled(files=files, server_told=not why, why=why)


def _forget(home: Path) -> str:
    """Let the server and the system destroy their halves; says why the server was not told."""
    try:
        files, clock = DeviceFiles(home), SystemClock()
        record = files.load()
        manager = CredentialManager(
            home,
            record,
            DeviceCalls(files, record, clock),
            protection=protections(passphrase_in("")),
            clock=clock,
        )
        manager.forget()
    except AitradingError as exc:
        return exc.message
    return ""


def _secrets_first(home: Path) -> Iterator[Path]:
    """Keys before what they seal."""
    yield from (path for path in sorted((home / FOLDER).rglob("*")) if path.is_file())
    for path in sorted(home.rglob("*")):
        if path.is_file() and home / FOLDER not in path.parents and path.name != LOCK:
            yield path


def _overwrite(path: Path) -> int:
    if path.is_symlink():
        return 0
    with path.open("r+b") as file:
        left = path.stat().st_size
        while left > 0:
            left -= file.write(bytes(min(left, _CHUNK_BYTES)))
        file.flush()
        os.fsync(file.fileno())
    path.unlink()
    return 1
