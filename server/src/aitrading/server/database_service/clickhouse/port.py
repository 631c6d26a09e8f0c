"""What the service needs of ClickHouse, whoever provides it.

A statement is text written here in the program; every value of a request travels beside it as a
parameter (`{name:Type}`). Data goes in as a block of the `Native` format and comes back as rows
of a fixed layout, so that nothing is parsed or formatted per value.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

Parameter = str | int | UUID | Sequence[int] | Sequence[UUID]
Rows = NDArray[np.void]
MAX_TOKEN_CHARS: Final = 120


class ClickHouse(Protocol):
    """One ClickHouse, embedded or served."""

    async def execute(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> None:
        """Run a statement that gives nothing back."""
        ...

    async def select(
        self,
        sql: str,
        layout: "np.dtype[Any]",
        parameters: Mapping[str, Parameter] | None = None,
        *,
        after_writes: bool = False,
    ) -> Rows:
        """Rows of a query whose columns have exactly this layout (no nulls, no text).

        With `after_writes` it sees the outcome of every insert begun before, even of one whose
        caller stopped waiting.
        """
        ...

    async def insert(self, into: str, block: bytes, *, token: str) -> None:
        """Insert a Native block; on return it is on disk.

        A block with a token seen lately is recognised and not inserted again.
        """
        ...
