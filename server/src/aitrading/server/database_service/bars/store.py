"""ClickHouse's side of bars: making them from ticks, and reading them.

A bar is of the bid, as in the terminal; ticks without a bid do not count. Finer bars come from
ticks, coarser ones from finer ones: a minute from ticks, an hour from minutes, a day from hours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import numpy as np

from aitrading.core.kit.ids import TenantId
from aitrading.server.database_service.bars.periods import DAY_S, HOUR_S, MINUTE_S, Period
from aitrading.server.database_service.clickhouse.port import ClickHouse, Parameter, Rows
from aitrading.server.kit.queries import Queries

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
_SQL: Final = Queries.load(__package__ or "", "store.sql")


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


class BarStore:
    """Every statement about `market.bars` is in this file."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    async def make(
        self, tenant: TenantId, streams: Sequence[UUID], span: Span, version: int
    ) -> None:
        """Make all bars that touch the span, which lies within one day; on return they are on disk.

        Making them again changes nothing but what ticks have come since.
        """
        wanted: dict[str, Parameter] = {
            "tenant": tenant,
            "streams": list(streams),
            "version": version,
        }
        steps = (
            (_SQL["from_ticks"], MINUTE_S, {"periods": [Period.S1.seconds, MINUTE_S]}),
            (
                _SQL["from_bars"],
                HOUR_S,
                {
                    "finer": MINUTE_S,
                    "periods": [Period.M5.seconds, Period.M15.seconds, HOUR_S],
                },
            ),
            (_SQL["from_bars"], DAY_S, {"finer": HOUR_S, "periods": [Period.H4.seconds, DAY_S]}),
        )
        for sql, whole_s, parameters in steps:
            low, high = widened(span, whole_s)
            more: dict[str, Parameter] = {"from_s": low, "to_s": high, **parameters}
            await self._clickhouse.execute(sql, wanted | more, of=tenant)

    async def page(self, question: BarsQuestion) -> Rows:
        """Rows by begin and stream; whole begins: bars that begin together come together."""
        dirty = [span for span in question.dirty if _overlaps(span, question)]
        return await self._clickhouse.select(
            _SQL["page"],
            BAR_LAYOUT,
            {
                "tenant": question.tenant,
                "streams": list(question.streams),
                "seconds": question.period.seconds,
                "from_s": question.from_s,
                "to_s": question.to_s,
                "limit": question.limit,
                "lows": [max(low, question.from_s) for low, _ in dirty],
                "highs": [min(high, question.to_s) for _, high in dirty],
                "dirty_from_s": max(question.from_s, min((low for low, _ in dirty), default=0)),
                "dirty_to_s": min(question.to_s, max((high for _, high in dirty), default=0)),
            },
            of=question.tenant,
        )


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


def _overlaps(span: Span, question: BarsQuestion) -> bool:
    return span[0] < question.to_s and span[1] > question.from_s
