"""Private files: readable by their owner only, replaced in one step."""

import os
from pathlib import Path


def write_private(path: Path, content: bytes) -> None:
    """Write a file of mode 0600 in place."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
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


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
