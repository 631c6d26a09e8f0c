"""ClickHouse's side of bars: making them from ticks, and reading them.

A bar is of the bid, as in the terminal; ticks without a bid do not count. Finer bars come from
ticks, coarser ones from finer ones: a minute from ticks, an hour from minutes, a day from hours.
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from typing_extensions import override

from aitrading.core.kit.ids import TenantId
from aitrading.server.database_service.bars.periods import DAY_S, HOUR_S, MINUTE_S, Period
from aitrading.server.database_service.bars.port import (
    BAR_LAYOUT,
    BarsQuestion,
    BarStore,
    Span,
    clipped,
    widened,
)
from aitrading.server.database_service.clickhouse.port import ClickHouse, Parameter, Rows
from aitrading.server.kit.queries import Queries

_SQL: Final = Queries.load(__package__ or "", "store.sql")


class ClickHouseBarStore(BarStore):
    """Every statement about `market.bars` is in this file."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    @override
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

    @override
    async def page(self, question: BarsQuestion) -> Rows:
        """Rows by begin and stream; whole begins: bars that begin together come together."""
        dirty = clipped(question)
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
                "lows": [low for low, _ in dirty],
                "highs": [high for _, high in dirty],
                "dirty_from_s": min((low for low, _ in dirty), default=0),
                "dirty_to_s": max((high for _, high in dirty), default=0),
            },
            of=question.tenant,
        )
