"""What the service needs of a store of ticks, whichever keeps them."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol
from uuid import UUID

import numpy as np

from aitrading.core.kit.ids import TenantId
from aitrading.server.database_service.clickhouse.port import Rows
from aitrading.server.database_service.ticks.blocks import Piece
from aitrading.server.database_service.ticks.ledger import StreamId
from aitrading.server.database_service.ticks.ranges import SequenceRanges

TICK_LAYOUT: Final = np.dtype(
    [
        ("event_ms", "<i8"),
        ("stream", "<u8", 2),
        ("sequence", "<u8"),
        ("bid", "<i4"),
        ("spread", "<i4"),
        ("last", "<i4"),
        ("flags", "<u2"),
        ("doubt", "u1"),
    ]
)
"""A row as a page gives it; the ask is `bid + spread` in 32 bits."""


NOWHERE: Final = UUID(int=0)
LOOKED_BACK: Final = 10_000
"""How many sequence numbers the newest believed row is looked for before it counts as none."""


@dataclass(frozen=True, kw_only=True)
class Position:
    """Where a page ended; the next one starts right behind."""

    event_ms: int
    stream: UUID
    sequence: int


class Which(Enum):
    """Ticks that are believed, those in quarantine, or whatever was stored."""

    BELIEVED = 0
    QUARANTINED = 1
    ALL = 2


@dataclass(frozen=True, kw_only=True)
class PageQuestion:
    """A page of one tenant's ticks: from ≤ time < to, behind a position, at most `limit`."""

    tenant: TenantId
    streams: Sequence[UUID]
    from_ms: int
    to_ms: int
    limit: int
    which: Which
    after: Position | None = None


class TickStore(Protocol):
    """Rows of ticks; knows nothing of the ledger, of people and of decimals."""

    async def insert(self, pieces: Sequence[Piece], *, label: str) -> None:
        """Store the rows durably; what is repeated was asked for by mistake of the caller."""
        ...

    async def orphans(self, stream: StreamId, stored: SequenceRanges) -> list[tuple[int, int]]:
        """Ranges that are there although the ledger does not say so.

        An insert leaves some when the process dies, or stops waiting, before it is recorded.
        """
        ...

    async def page(self, question: PageQuestion) -> Rows:
        """Rows of `TICK_LAYOUT` by time, stream and sequence."""
        ...

    async def rows_at(self, tenant: TenantId, sequences: dict[UUID, int]) -> Rows:
        """The rows with these sequence numbers, one per stream at most, believed or not."""
        ...

    async def newest(self, tenant: TenantId, lasts: dict[UUID, int]) -> Rows:
        """The newest believed rows up to these sequence numbers, one per stream at most."""
        ...
