"""Which services the operator admitted: written by the supervisor, obeyed by the edge."""

from pathlib import Path
from typing import Final

import msgspec

from aitrading.core.kit.errors import Category, ErrorSpec

ADMITTED_FILE: Final = Path("keys", "guests.json")
"""Below the home; replaced whole by an atomic rename."""

SERVICES_FILE_DAMAGED = ErrorSpec(
    code="SERVICES_FILE_DAMAGED",
    category=Category.FATAL,
    message="{path} does not say which services were admitted: {problem}.",
    why="The file was changed by hand, or the disk lost what it had confirmed.",
    remedy="Restore it from a backup, or remove it and admit the services again.",
)


class Guest(msgspec.Struct, frozen=True, kw_only=True):
    """One admitted service."""

    name: str
    port: int
    """Of its mutual TLS listener for peers; 0 lets it take a free one."""


def read_admitted(path: Path) -> list[Guest]:
    """Everyone who is admitted now; without a file nobody. Raises SERVICES_FILE_DAMAGED."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Guest])
    except FileNotFoundError:
        return []
    except (msgspec.MsgspecError, OSError) as exc:
        raise SERVICES_FILE_DAMAGED.error(path=str(path), problem=str(exc)) from exc
