"""`run.json`: how to reach the client that uses a home."""

from typing import Final

import msgspec

RUN_FILE: Final = "run.json"


class RunRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Written when the client answers, removed when it stops."""

    pid: int
    port: int
    parts: dict[str, int] = {}
    """Where each part answers about its health."""
