"""`aitrading-client uninstall`: nothing of this client is left on the machine, and no way back in.

First what the server and the system keep for it, then the files, the record of the device last: a crash in
between leaves a home that the same command finishes. Only what the client writes goes, by its place
and name; what somebody else put there stays and is named. Files are overwritten before they go; on a solid-state disk or a file
system that copies on write that is a courtesy, so what counts is that keys, and with them everything
sealed, open nothing any more.
"""

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aitrading.client.errors import CLIENT_HOME_IN_USE, CLIENT_HOME_STRANGE
from aitrading.client.security.credential_manager import CredentialManager
from aitrading.client.security.device_calls import DeviceCalls
from aitrading.client.security.device_files import FOLDER, DeviceFiles
from aitrading.client.security.protections import passphrase_in, protections
from aitrading.core.infrastructure.files import is_link, try_lock
from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.errors import AitradingError

LOCK: Final = "client.lock"
FOLDERS: Final = (FOLDER, "collector", "configuration", "journal", "monitor", "notes")
_SPOOL: Final = r"[0-9a-f-]{36}/(spool/([0-9a-f]{16}\.(seg|torn|corrupt)[\w.-]*|spool\.lock)|%s)"
_IDENTITY: Final = (
    r"device\.json|(device|pending)\.pem|files\.key|broker-login\.sealed|checkpoint"
    r"|configuration\.seen|release\.seen"
)
_WRITTEN: Final = (
    rf"{FOLDER}/({_IDENTITY})",
    r"collector/known\.sealed",
    r"configuration/(bundle\.sealed|key\.json)",
    "journal/" + _SPOOL % r"streams\.json|gaps\.jsonl",
    r"monitor/alerts\.sealed",
    "notes/" + _SPOOL % r"queue\.json",
    r"aitrading\.toml|run\.json|client\.lock|availability\.(json|damaged)",
)
"""What the client writes, each below its home."""
_OURS: Final = re.compile("|".join(_WRITTEN))
_HALF_WRITTEN: Final = re.compile(r"\.(.+)\.[0-9a-f]{16}")
"""What a crash leaves of a file that was being replaced."""
_CHUNK_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Uninstalled:
    """What became of it."""

    files: int
    server_told: bool
    why: str = ""
    left: tuple[str, ...] = ()
    """What is not of the client and is still there, below its home."""


@dataclass(frozen=True, kw_only=True)
class _Found:
    """The files of a home, keys before what they seal and the record last; and its folders."""

    ours: list[Path]
    folders: list[Path]
    strange: list[Path]


def uninstall(home: Path) -> Uninstalled:
    """Destroy what this client keeps; raises `CLIENT_HOME_IN_USE` or `CLIENT_HOME_STRANGE`."""
    if not home.exists():
        return Uninstalled(files=0, server_told=False, why="there is no such folder")
    try:
        DeviceFiles(home).record()
    except AitradingError as exc:
        raise CLIENT_HOME_STRANGE.error(home=str(home)) from exc
    lock = try_lock(home / LOCK)
    if lock is None:
        raise CLIENT_HOME_IN_USE.error(home=str(home))
    try:
        why = _forget(home)
        found = _found(home)
        for path in found.ours:
            _overwrite(path)
    finally:
        os.close(lock)
    (home / LOCK).unlink()
    for folder in (*found.folders, home):
        with suppress(OSError):  # it holds what is not of the client
            folder.rmdir()
    left = tuple(path.relative_to(home).as_posix() for path in found.strange)
    return Uninstalled(files=len(found.ours), server_told=not why, why=why, left=left)


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


def _found(home: Path) -> _Found:
    """What is there; nothing behind a link is looked at."""
    ours: list[Path] = []
    folders: list[Path] = []
    strange: list[Path] = []
    for place, below, names in os.walk(home):
        folder = Path(place)
        closed = {
            name
            for name in below
            if is_link(folder / name) or (folder == home and name not in FOLDERS)
        }
        below[:] = sorted(set(below) - closed)
        folders += [folder / name for name in below]
        strange += [folder / name for name in sorted(closed)]
        for path in sorted(folder / name for name in names):
            (ours if _is_ours(home, path) else strange).append(path)
    record = home / FOLDER / "device.json"
    ours = [path for path in ours if path != home / LOCK]
    ours.sort(key=lambda path: (path == record, path.parent != home / FOLDER))
    return _Found(ours=ours, folders=folders[::-1], strange=strange)


def _is_ours(home: Path, path: Path) -> bool:
    half = _HALF_WRITTEN.fullmatch(path.name)
    name = path.with_name(half[1]) if half else path
    is_named = _OURS.fullmatch(name.relative_to(home).as_posix()) is not None
    return is_named and path.is_file() and not is_link(path)


def _overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        left = path.stat().st_size
        while left > 0:
            left -= file.write(bytes(min(left, _CHUNK_BYTES)))
        file.flush()
        os.fsync(file.fileno())
    path.unlink()
