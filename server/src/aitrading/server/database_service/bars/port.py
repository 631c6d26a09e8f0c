"""What the service needs of a store of bars, whichever keeps them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol
from uuid import UUID

import numpy as np

from aitrading.core.kit.ids import TenantId
from aitrading.server.database_service.bars.periods import Period
from aitrading.server.database_service.clickhouse.port import Rows

Span = tuple[int, int]
"""Seconds since 1970: the first inside, the second outside."""

BAR_LAYOUT: Final = np.dtype(
    [
        ("stream", "<u8", 2),
        ("begins_s", "<i8"),
        ("open", "<i4"),
        ("high", "<i4"),
        ("low", "<i4"),
        ("close", "<i4"),
        ("ticks", "<u4"),
        ("spread_min", "<i4"),
        ("spread_max", "<i4"),
        ("spread_sum", "<i8"),
        ("spread_ticks", "<u4"),
    ]
)


@dataclass(frozen=True, kw_only=True)
class BarsQuestion:
    """Rows of one tenant's streams: from ≤ begin < to, at least `limit` where there are so many."""

    tenant: TenantId
    streams: Sequence[UUID]
    period: Period
    from_s: int
    to_s: int
    limit: int
    dirty: Sequence[Span]
    """Where bars have to be made from ticks, in whole bars of the period."""


class BarStore(Protocol):
    """Bars of the bid, as in the terminal; ticks without a bid do not count."""

    async def make(
        self, tenant: TenantId, streams: Sequence[UUID], span: Span, version: int
    ) -> None:
        """Make all bars that touch the span, which lies within one day; on return they are durable.

        Making them again changes nothing but what ticks have come since.
        """
        ...

    async def page(self, question: BarsQuestion) -> Rows:
        """Rows of `BAR_LAYOUT` by begin and stream; what begins together comes together."""
        ...


def widened(span: Span, whole_s: int) -> Span:
    """The smallest span of whole stretches of this length around it."""
    low, high = span
    return low // whole_s * whole_s, -(-high // whole_s) * whole_s


def merged(spans: Sequence[Span]) -> list[Span]:
    """The same seconds as few spans, ascending."""
    found: list[Span] = []
    for low, high in sorted(spans):
        if found and low <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], high))
        else:
            found.append((low, high))
    return found


def clipped(question: BarsQuestion) -> list[Span]:
    """What of the question's span is dirty."""
    return [
        (max(low, question.from_s), min(high, question.to_s))
        for low, high in question.dirty
        if low < question.to_s and high > question.from_s
    ]
