"""Ticks in PostgreSQL, for installations that have no other store.

Sixty bytes a tick where ClickHouse takes three, and slower; but one database to run and to save.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Any, Final
from uuid import UUID

import numpy as np
from typing_extensions import override

from aitrading.core.domain.market import TICK_DTYPE
from aitrading.core.kit.ids import TenantId
from aitrading.server.database_service.clickhouse.native import uuid_columns
from aitrading.server.database_service.clickhouse.port import Rows
from aitrading.server.database_service.ticks.blocks import Piece, in_storage_order
from aitrading.server.database_service.ticks.ledger import StreamId
from aitrading.server.database_service.ticks.port import (
    LOOKED_BACK,
    NOWHERE,
    TICK_LAYOUT,
    PageQuestion,
    Position,
    TickStore,
)
from aitrading.server.database_service.ticks.ranges import SequenceRanges, runs_of
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.queries import Queries
from aitrading.server.kit.transactions import TenantTransaction

_SQL: Final = Queries.load(__package__ or "", "store_postgres.sql")


class PostgresTickStore(TickStore):
    """Under row security; a repeated row is the same row."""

    def __init__(self, pool: PostgresPool) -> None:
        self._pool = pool

    @override
    async def insert(self, pieces: Sequence[Piece], *, label: str) -> None:
        async with self._pool.platform_tx() as tx:
            by_tenant = groupby(in_storage_order(pieces), key=lambda piece: piece.header.tenant)
            for tenant, of_tenant in by_tenant:
                async with tx.within(TenantId(tenant)) as inner:
                    for piece in of_tenant:
                        await _insert(inner, piece)

    @override
    async def orphans(self, stream: StreamId, stored: SequenceRanges) -> list[tuple[int, int]]:
        async with self._pool.tenant_read(TenantId(stream[0])) as tx:
            rows = await tx.fetch(_SQL["orphans"], stream[1], stored.render())
        return runs_of(row["sequence"] for row in rows)

    @override
    async def page(self, question: PageQuestion) -> Rows:
        after = question.after or Position(
            event_ms=question.from_ms - 1, stream=NOWHERE, sequence=0
        )
        async with self._pool.tenant_read(question.tenant) as tx:
            rows = await tx.fetch(
                _SQL[f"page_{question.which.name.lower()}"],
                list(question.streams),
                question.from_ms,
                question.to_ms,
                after.event_ms,
                after.stream,
                after.sequence,
                question.limit,
            )
        return _rows(rows)

    @override
    async def rows_at(self, tenant: TenantId, sequences: dict[UUID, int]) -> Rows:
        asked = list(sequences), list(sequences.values())
        async with self._pool.tenant_read(tenant) as tx:
            return _rows(await tx.fetch(_SQL["rows_at"], *asked))

    @override
    async def newest(self, tenant: TenantId, lasts: dict[UUID, int]) -> Rows:
        async with self._pool.tenant_read(tenant) as tx:
            return _rows(
                await tx.fetch(_SQL["newest"], list(lasts), list(lasts.values()), LOOKED_BACK)
            )


async def _insert(tx: TenantTransaction, piece: Piece) -> None:
    header, rows = piece.header, np.frombuffer(piece.rows(), TICK_DTYPE)
    await tx.execute(
        _SQL["insert_batch"],
        header.stream,
        piece.first,
        piece.count,
        header.receive_ns,
        header.broker_offset_s,
        header.trace_id,
        header.span_id,
    )
    columns = (
        np.arange(piece.first, piece.last + 1),
        rows["event_ms"] - header.broker_offset_s * 1_000,
        rows["bid"],
        rows["ask"] - rows["bid"],
        rows["last"],
        rows["flags"],
        rows["doubt"],
    )
    await tx.execute(_SQL["insert_ticks"], header.stream, *(column.tolist() for column in columns))


def _rows(found: Sequence[Any]) -> Rows:
    rows = np.zeros(len(found), TICK_LAYOUT)
    if found:
        rows["stream"] = uuid_columns([row["stream_id"] for row in found])
        for name in ("event_ms", "sequence", "bid", "spread", "last", "flags", "doubt"):
            rows[name] = [row[name] for row in found]
    return rows
