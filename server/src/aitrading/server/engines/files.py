"""Private files: readable by their owner only, replaced in one step, never through a link."""

import contextlib
import os
from pathlib import Path


def write_private(path: Path, content: bytes) -> None:
    """Write a file of mode 0600 in place."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - wraps an open descriptor
        os.fchmod(descriptor, 0o600)
        file.write(content)


def replace_private(path: Path, content: bytes, *, durable: bool = False) -> None:
    """Put a file of mode 0600 in the place of another: a reader sees the old or the new one.

    A durable one is on the disk, under its name, when this returns.
    """
    temporary = path.with_name(path.name + ".new")
    write_private(temporary, content)
    if durable:
        _sync(temporary)
    temporary.replace(path)
    if durable:
        _sync(path.parent)


def replace_for(owner: tuple[int, int] | None, path: Path, content: bytes) -> None:
    """Put a file of mode 0600 into a folder that somebody else may write to, and give it to them.

    Whatever they prepared there, a link, another file or a folder in its place, is replaced and
    never followed: only the new file is written and handed over. Raises OSError for a link in
    the place of the folder itself.
    """
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    fresh = f"{path.name}.new"
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(fresh, dir_fd=folder)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(fresh, flags, 0o600, dir_fd=folder)
        with open(descriptor, "wb") as file:  # noqa: PTH123 - wraps an open descriptor
            if owner is not None:
                os.fchown(descriptor, *owner)
            file.write(content)
        os.replace(fresh, path.name, src_dir_fd=folder, dst_dir_fd=folder)
    finally:
        os.close(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
