"""Files that survive a power cut: written whole or not at all, readable by their owner only."""

import os
import secrets
import stat
import sys
from pathlib import Path
from typing import Final

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


PRIVATE_FILE_MODE: Final = 0o600
PRIVATE_FOLDER_MODE: Final = 0o700
BINARY: Final[int] = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
"""Flags for `os.open` that every file of ours wants, on every system."""


def write_atomically(path: Path, data: bytes, *, mode: int = PRIVATE_FILE_MODE) -> None:
    """Replace a file's content so that a reader, or a crash, sees the old bytes or the new.

    When this returns, the new bytes are on the disk. On failure the old file is untouched and
    nothing is left beside it; the `OSError` is the caller's to explain.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | BINARY, mode)
    try:
        try:
            temporary.chmod(mode)  # whatever the umask is
            write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def remove_durably(path: Path) -> None:
    """Remove a file and make that survive a crash; a missing file is fine."""
    path.unlink(missing_ok=True)
    sync_folder(path.parent)


def make_private_folder(path: Path) -> None:
    """Create a folder, with its parents, that only its owner may enter."""
    path.mkdir(mode=PRIVATE_FOLDER_MODE, parents=True, exist_ok=True)


def is_link(path: Path) -> bool:
    """A symbolic link, or a junction of Windows: what is behind it lies elsewhere."""
    if sys.platform == "win32":
        links = (stat.IO_REPARSE_TAG_SYMLINK, stat.IO_REPARSE_TAG_MOUNT_POINT)
        return path.lstat().st_reparse_tag in links
    return path.is_symlink()


def sync_folder(path: Path) -> None:
    """Make creations, renames and removals inside a folder survive a crash."""
    if sys.platform == "win32":  # it journals them itself and has no handle to sync
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | BINARY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, data: bytes | bytearray | memoryview) -> None:
    """Write every byte, however many calls that takes."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def open_lines(path: Path) -> int:
    """Open a file of lines to append to, and make it where it is missing.

    A last line that a crash tore is ended first, or the next one would be lost with it.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | BINARY
    descriptor = os.open(path, flags, PRIVATE_FILE_MODE)
    try:
        if os.lseek(descriptor, 0, os.SEEK_END):
            os.lseek(descriptor, -1, os.SEEK_END)
            if os.read(descriptor, 1) != b"\n":
                write_all(descriptor, b"\n")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def sync_data(descriptor: int) -> None:
    """Make a file's bytes, and the length needed to read them, survive a power cut."""
    if sys.platform in ("win32", "darwin"):
        os.fsync(descriptor)
    else:
        os.fdatasync(descriptor)


def try_lock(path: Path) -> int | None:
    """Take a folder's lock file; None when another process has it.

    The lock is held until the descriptor is closed, and a killed process lets go of it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | BINARY, PRIVATE_FILE_MODE)
    try:
        _lock(descriptor)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
