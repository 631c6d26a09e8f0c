"""Files that are either the old ones or the new ones, never half of each."""

import os
from pathlib import Path
from typing import Final

OWNER_ONLY: Final = 0o600
OWNER_ONLY_FOLDER: Final = 0o700


def write_atomically(path: Path, data: bytes, *, mode: int = OWNER_ONLY) -> None:
    """Replace the file and return when the new one is on disk; blocks, so call it in a thread."""
    path.parent.mkdir(mode=OWNER_ONLY_FOLDER, parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    fresh.replace(path)
    sync_folder(path.parent)


def append_durably(path: Path, data: bytes) -> None:
    """Add to the end of a file and return when it is on disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, OWNER_ONLY)
    try:
        os.write(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Make renames and new names in a folder durable, where the system can do that."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
