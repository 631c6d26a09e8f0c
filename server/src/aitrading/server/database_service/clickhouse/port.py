"""What the service needs of ClickHouse, whoever provides it.

A statement is text written here in the program; every value of a request travels beside it as a
parameter (`{name:Type}`). Data goes in as a block of the `Native` format and comes back as rows
of a fixed layout, so that nothing is parsed or formatted per value.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from aitrading.core.infrastructure.lifecycle import Component, ComponentState
from aitrading.server.database_service.clickhouse.walls import Seen, Whose
from aitrading.server.kit.backup_api import FrozenStore

Parameter = str | int | UUID | Sequence[int] | Sequence[UUID]
Rows = NDArray[np.void]
MAX_LABEL_CHARS: Final = 120
INSERT: Final = "INSERT"
"""How an insert is called where it is told what a request took."""
_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n"})
"""ClickHouse reads the value of a parameter as a field of a TSV file."""
_LABEL: Final = re.compile(rf"[A-Za-z0-9/:-]{{1,{MAX_LABEL_CHARS}}}", re.ASCII)


class ClickHouse(Protocol):
    """One ClickHouse, embedded or served."""

    async def execute(
        self,
        sql: str,
        parameters: Mapping[str, Parameter] | None = None,
        *,
        of: Seen = Whose.NOBODY,
    ) -> None:
        """Run a statement that gives nothing back; it reads rows of one tenant at most."""
        ...

    async def select(
        self,
        sql: str,
        layout: "np.dtype[Any]",
        parameters: Mapping[str, Parameter] | None = None,
        *,
        of: Seen = Whose.NOBODY,
        after_writes: bool = False,
    ) -> Rows:
        """Rows of a query whose columns have exactly this layout (no nulls, no text).

        The engine hides every row that does not belong to the tenant `of`, whatever the text says.

        With `after_writes` it sees the outcome of every insert begun before, even of one whose
        caller stopped waiting.
        """
        ...

    async def insert(self, into: str, block: bytes, *, label: str) -> None:
        """Insert a Native block; on return it is on disk.

        The same block again is inserted again, and nothing here repeats one: whoever inserts
        knows what is stored. The label only names the insert for operators.
        """
        ...


class ClickHouseEngine(ClickHouse, Component, Protocol):
    """A ClickHouse that starts and stops with the process."""

    _state: ComponentState = ComponentState.NEW

    @property
    @override
    def name(self) -> str:
        return "clickhouse"

    @property
    @override
    def state(self) -> ComponentState:
        return self._state

    def release_start_up_memory(self) -> None:
        """Give back what only the start needed; called when the schema is applied."""
        ...

    async def freeze(self, name: str) -> FrozenStore:
        """Everything as it is between two inserts, as files that nothing changes any more.

        Raises `CLICKHOUSE_NOT_HERE` for a server: its files are on its own machine.
        """
        ...

    async def thaw(self) -> None:
        """Let go of what was frozen."""
        ...


def parameter_text(value: Parameter) -> str:
    """As ClickHouse reads the value of a placeholder; it decodes to exactly this value."""
    if isinstance(value, str):
        return value.translate(_ESCAPES)
    if isinstance(value, int | UUID):
        return str(value)
    return f"[{','.join(_element(each) for each in value)}]"


def checked_label(label: str) -> str:
    """A label that may stand in a query's id; anything else is a mistake in the program."""
    if not _LABEL.fullmatch(label):
        raise ValueError("the label of an insert is a short plain text")
    return label


def _element(value: int | UUID) -> str:
    return f"'{value}'" if isinstance(value, UUID) else str(value)
