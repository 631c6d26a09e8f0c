"""Bars in PostgreSQL, for installations that have no other store."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import numpy as np
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
from aitrading.server.database_service.clickhouse.native import uuid_columns
from aitrading.server.database_service.clickhouse.port import Rows
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.queries import Queries

_SQL: Final = Queries.load(__package__ or "", "store_postgres.sql")
_FROM_MINUTES: Final = [Period.M5.seconds, Period.M15.seconds, HOUR_S]
_FROM_HOURS: Final = [Period.H4.seconds, DAY_S]


class PostgresBarStore(BarStore):
    """Under row security; all bars of a span in one transaction."""

    def __init__(self, pool: PostgresPool) -> None:
        self._pool = pool

    @override
    async def make(
        self, tenant: TenantId, streams: Sequence[UUID], span: Span, version: int
    ) -> None:
        wanted = list(streams)
        async with self._pool.tenant_tx(tenant) as tx:
            await tx.execute(
                _SQL["from_ticks"], wanted, *widened(span, MINUTE_S), [1, MINUTE_S], version
            )
            for whole_s, finer, longer in (
                (HOUR_S, MINUTE_S, _FROM_MINUTES),
                (DAY_S, HOUR_S, _FROM_HOURS),
            ):
                await tx.execute(
                    _SQL["from_bars"], wanted, *widened(span, whole_s), finer, longer, version
                )

    @override
    async def page(self, question: BarsQuestion) -> Rows:
        spans = ",".join(f"[{low},{high})" for low, high in clipped(question))
        async with self._pool.tenant_read(question.tenant) as tx:
            found = await tx.fetch(
                _SQL["page"],
                list(question.streams),
                question.period.seconds,
                question.from_s,
                question.to_s,
                f"{{{spans}}}",
                question.limit,
            )
        rows = np.zeros(len(found), BAR_LAYOUT)
        if found:
            rows["stream"] = uuid_columns([row["stream_id"] for row in found])
            for name in rows.dtype.names or ():
                if name != "stream":
                    rows[name] = [row[name] for row in found]
        return rows
