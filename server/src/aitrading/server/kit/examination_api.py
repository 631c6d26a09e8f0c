"""What `aitrading doctor --databases` and the database service say to each other.

`POST /internal/v1/stores/examine` gives `list[StoreExamination]`: each of the five stores asked
step by step through the service's own ports.
"""

from typing import Final, Literal

import msgspec

EXAMINE_PATH: Final = "/internal/v1/stores/examine"
StepName = Literal["connect", "authenticate", "write", "read", "delete"]
STEPS: Final[tuple[StepName, ...]] = ("connect", "authenticate", "write", "read", "delete")


class StepTaken(msgspec.Struct, frozen=True, kw_only=True):
    """One step: `none` where the store has no such step, `skipped` behind a failed one."""

    step: StepName
    state: Literal["ok", "failed", "skipped", "none"]
    took_ms: float | None = None
    code: str = ""
    message: str = ""
    cause: str = ""
    remedy: str = ""


class StoreExamination(msgspec.Struct, frozen=True, kw_only=True):
    """One store; `verified` tells whether this release was tested against what answers there."""

    store: str
    adapter: str
    verified: bool
    note: str = ""
    steps: tuple[StepTaken, ...]
