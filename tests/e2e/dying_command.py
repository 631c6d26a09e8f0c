"""`aitrading` that is killed where it is told: `python dying_command.py PLACE ARGUMENT …`.

Killed as by `kill -9`, at one line of making a backup or of putting one back.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Final, NoReturn

from aitrading.server.backup import make, restore
from aitrading.server.backup.archive import ArchiveReader, ArchiveWriter
from aitrading.server.cli import main
from aitrading.server.kit.backup_api import END_PATH


def die(*_: Any, **__: Any) -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


class HalfRead:
    """Gives the first bytes of a file and dies when asked for more."""

    def __init__(self, content: BinaryIO) -> None:
        self._content: BinaryIO | None = content

    def read(self, _: int) -> bytes:
        if self._content is None:
            die()
        data, self._content = self._content.read(64), None
        return data


def in_part(name: str) -> None:
    whole = ArchiveWriter.add_file

    def half(self: ArchiveWriter, part: str, path: str, content: Any, *, mode: int = 0o600) -> int:
        return whole(self, part, path, HalfRead(content) if part == name else content, mode=mode)

    ArchiveWriter.add_file = half  # type: ignore[method-assign]


def before_the_end_is_noted() -> None:
    post = make.Books.post

    def dying(self: make.Books, path: str, body: Any, answer: Any) -> Any:
        return die() if path == END_PATH else post(self, path, body, answer)

    make.Books.post = dying  # type: ignore[method-assign]


def with_two_names() -> None:
    unlink = Path.unlink

    def dying(self: Path, missing_ok: bool = False) -> None:
        if self.name.endswith(make.PARTIAL):
            die()
        unlink(self, missing_ok=missing_ok)

    Path.unlink = dying  # type: ignore[method-assign]


def beside_a_child() -> None:
    """The child has just begun."""

    def started(*arguments: Any, **options: Any) -> NoReturn:
        options = {k: v for k, v in options.items() if k in {"env", "preexec_fn"}}
        child = subprocess.Popen(*arguments, **options)
        sys.stdout.write(f"{child.pid}\n")
        sys.stdout.flush()
        die()

    subprocess.run = started  # type: ignore[assignment]


def at(owner: Any, name: str) -> Callable[[], None]:
    return lambda: setattr(owner, name, die)


PLACES: Final[dict[str, Callable[[], None]]] = {
    "in the books": at(make, "whole_file"),
    "spool": lambda: in_part("spool"),
    "postgres": lambda: in_part("postgres"),
    "clickhouse": lambda: in_part("clickhouse"),
    "keys": lambda: in_part("keys"),
    "whole without a name": at(os, "link"),
    "two names": with_two_names,
    "end not noted": before_the_end_is_noted,
    "unpacking": at(ArchiveReader, "_require_whole"),
    "clickhouse child": beside_a_child,
    "postgres running": at(restore, "_load"),
    "home without a name": at(os, "sync"),
    "home has its name": at(restore, "sync_folder"),
}

if __name__ == "__main__":
    PLACES[sys.argv[1]]()
    sys.argv[0:2] = ["aitrading"]
    main()
