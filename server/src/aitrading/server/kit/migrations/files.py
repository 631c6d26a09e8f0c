"""Reading a folder of migrations; pure except for the reading."""

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from aitrading.server.kit.migrations.errors import MIGRATION_FILE_INVALID

DEFAULT_LOCK_TIMEOUT_MS: Final = 5_000
MAX_LOCK_TIMEOUT_MS: Final = 600_000
MAX_FILE_BYTES: Final = 1 << 20
_NAME: Final = re.compile(r"(?P<number>\d{4})_(?P<name>[a-z0-9_]{1,60})(?P<post>\.post)?\.sql")
_DIRECTIVE: Final = re.compile(
    r"--\s*migrate:\s*(?P<key>[a-z-]+)(=(?P<value>\d{1,6}|[a-z][a-z-]{0,60}))?\s*"
)


class Phase(StrEnum):
    """Before the new release serves, or after the old one is gone."""

    PRE = "pre"
    POST = "post"


@dataclass(frozen=True, kw_only=True)
class Migration:
    """One file; ordered by `key`."""

    number: int
    name: str
    phase: Phase
    sql: str
    checksum: str
    transactional: bool
    lock_timeout_ms: int
    step: str | None = None
    """What the program does after the statements, in their transaction."""

    @property
    def key(self) -> tuple[bool, int]:
        """Pre files in the order of their numbers, then post files."""
        return (self.phase is Phase.POST, self.number)

    @property
    def file(self) -> str:
        """The name of the file it came from."""
        suffix = ".post.sql" if self.phase is Phase.POST else ".sql"
        return f"{self.number:04d}_{self.name}{suffix}"


def load_migrations(folder: Path) -> tuple[Migration, ...]:
    """Every migration of a folder in the order of running.

    Raises `MIGRATION_FILE_INVALID` for a file with another name, a number used twice in one
    phase, an unknown directive or an unreadable text.
    """
    migrations = [_load(path) for path in sorted(folder.iterdir()) if path.name != "README.md"]
    seen: dict[tuple[bool, int], str] = {}
    for migration in migrations:
        if migration.key in seen:
            raise _invalid(migration.file, f"{seen[migration.key]} has the same number")
        seen[migration.key] = migration.file
    return tuple(sorted(migrations, key=lambda migration: migration.key))


def _load(path: Path) -> Migration:
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise _invalid(path.name, "its name is not NNNN_what_it_does.sql or .post.sql")
    raw = path.read_bytes().replace(b"\r\n", b"\n")
    if len(raw) > MAX_FILE_BYTES:
        raise _invalid(path.name, f"it is larger than {MAX_FILE_BYTES} bytes")
    try:
        sql = raw.decode()
    except UnicodeDecodeError:
        raise _invalid(path.name, "it is not UTF-8") from None
    directives = _directives(path.name, sql)
    lock_timeout_ms = int(directives.get("lock-timeout-ms") or DEFAULT_LOCK_TIMEOUT_MS)
    return Migration(
        number=int(match["number"]),
        name=match["name"],
        phase=Phase.POST if match["post"] else Phase.PRE,
        sql=sql,
        checksum=hashlib.sha256(raw).hexdigest(),
        transactional="no-transaction" not in directives,
        lock_timeout_ms=min(lock_timeout_ms, MAX_LOCK_TIMEOUT_MS),
        step=directives.get("step"),
    )


_VALUES: Final = {
    "no-transaction": re.compile(""),
    "lock-timeout-ms": re.compile(r"\d+"),
    "step": re.compile(r"[a-z][a-z-]*"),
}
"""What each directive may be given; nothing for the first."""


def _directives(file: str, sql: str) -> dict[str, str]:
    """Those in the comment lines at the top of the file."""
    found: dict[str, str] = {}
    for line in sql.splitlines():
        if not line.startswith("--"):
            break
        if "migrate:" not in line:
            continue
        match = _DIRECTIVE.fullmatch(line)
        key, value = (match["key"], match["value"] or "") if match else ("", "")
        if key not in _VALUES or not _VALUES[key].fullmatch(value):
            raise _invalid(file, f"unknown directive {line[:60]!r}")
        found[key] = value
    if {"step", "no-transaction"} <= found.keys():
        raise _invalid(file, "a step needs the transaction of its file")
    return found


def _invalid(file: str, problem: str) -> Exception:
    return MIGRATION_FILE_INVALID.error(file=file, problem=problem)
