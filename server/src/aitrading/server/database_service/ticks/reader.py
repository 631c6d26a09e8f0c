"""Answering questions about ticks, one tenant at a time."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np

from aitrading.core.domain.instruments import SYMBOL_BYTES_MAX, require_name
from aitrading.core.kit.ids import TenantId
from aitrading.server.database_service.clickhouse.native import uuid_of
from aitrading.server.database_service.clickhouse.port import Rows
from aitrading.server.database_service.errors import SYMBOL_UNKNOWN, TOO_MANY_STREAMS
from aitrading.server.database_service.guards import Guards
from aitrading.server.database_service.ticks import ledger
from aitrading.server.database_service.ticks.doubted import QuarantinePage
from aitrading.server.database_service.ticks.ledger import StreamInfo
from aitrading.server.database_service.ticks.port import (
    TICK_LAYOUT,
    PageQuestion,
    Position,
    TickStore,
    Which,
)
from aitrading.server.database_service.ticks.rendering import (
    DoubtedPage,
    TicksPage,
    cursor_of,
    price_text,
    render_doubted,
    render_ticks,
    rfc3339_of_ms,
)
from aitrading.server.kit.ingest_api import LastQuote
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.time_cursors import TimePlace

MAX_STREAMS_PER_PAGE = 64


@dataclass(frozen=True, kw_only=True)
class TicksQuestion:
    """What a user asks, parsed and bounded; raises `INSTRUMENT_MALFORMED` for an odd symbol."""

    symbol: str
    stream: UUID | None
    from_ms: int
    to_ms: int
    limit: int
    after: Position | None

    def __post_init__(self) -> None:
        require_name("symbol", self.symbol, SYMBOL_BYTES_MAX)


class TickReader:
    """Reads go through their own bulkhead and the breakers of both stores."""

    def __init__(self, pool: PostgresPool, store: TickStore, guards: Guards) -> None:
        self._pool = pool
        self._store = store
        self._guards = guards

    async def page(self, tenant: TenantId, question: TicksQuestion) -> TicksPage:
        """Ticks that are believed.

        Raises `SYMBOL_UNKNOWN`, `TOO_MANY_STREAMS`, or that a store is away.
        """
        rows, cursor, digits = await self._found(tenant, question, Which.BELIEVED)
        items = await asyncio.to_thread(render_ticks, rows, digits)
        return TicksPage(symbol=question.symbol, items=items, next_cursor=cursor)

    async def quarantined(self, tenant: TenantId, question: TicksQuestion) -> DoubtedPage:
        """Ticks in quarantine; raises what `page` raises."""
        rows, cursor, digits = await self._found(tenant, question, Which.QUARANTINED)
        items = await asyncio.to_thread(render_doubted, rows, digits)
        return DoubtedPage(symbol=question.symbol, items=items, next_cursor=cursor)

    async def quarantined_days(
        self, tenant: TenantId, *, symbol: str | None, after: TimePlace | None, limit: int
    ) -> QuarantinePage:
        """How many ticks went into quarantine, the newest day first."""
        async with self._guards.reads.slot():
            with self._guards.postgres.guard():
                async with self._pool.tenant_read(tenant) as tx:
                    return await ledger.doubted_page(tx, symbol=symbol, after=after, limit=limit)

    async def _found(
        self, tenant: TenantId, question: TicksQuestion, which: Which
    ) -> tuple[Rows, str | None, dict[UUID, int]]:
        """A page of rows, the cursor of the next one, and the streams' digits."""
        async with self._guards.reads.slot():
            streams = await self._streams(tenant, question)
            if which is Which.QUARANTINED:
                streams = await self._with_doubts(tenant, streams)
            rows = await self._rows(tenant, question, streams, which)
        wanted = rows[: question.limit]  # one more was asked for: it tells of a next page
        following = cursor_of(_position(wanted)) if len(rows) > len(wanted) else None
        return wanted, following, {info.stream: info.digits for info in streams}

    async def newest_quotes(self, tenant: TenantId) -> list[LastQuote]:
        """The newest stored quote of each symbol, from the store itself."""
        async with self._guards.reads.slot():
            with self._guards.postgres.guard():
                async with self._pool.tenant_read(tenant) as tx:
                    streams = await ledger.newest_streams(tx)
            lasts = {info.stream: info.stored.last for info in streams}
            if not lasts:
                return []
            rows = await self._guards.clickhouse_reads.run(
                lambda: self._store.newest(tenant, lasts)
            )
        return _quotes(rows, {info.stream: info for info in streams})

    async def _streams(self, tenant: TenantId, question: TicksQuestion) -> list[StreamInfo]:
        with self._guards.postgres.guard():
            async with self._pool.tenant_read(tenant) as tx:
                streams = await ledger.streams_of_symbol(tx, question.symbol)
        if question.stream is not None:
            streams = [info for info in streams if info.stream == question.stream]
        if not streams:
            raise SYMBOL_UNKNOWN.error(symbol=question.symbol)
        if len(streams) > MAX_STREAMS_PER_PAGE:
            raise TOO_MANY_STREAMS.error(
                count=len(streams), symbol=question.symbol, limit=MAX_STREAMS_PER_PAGE
            )
        return streams

    async def _with_doubts(
        self, tenant: TenantId, streams: Sequence[StreamInfo]
    ) -> list[StreamInfo]:
        with self._guards.postgres.guard():
            async with self._pool.tenant_read(tenant) as tx:
                known = await ledger.doubted_streams(tx, [info.stream for info in streams])
        return [info for info in streams if info.stream in known]

    async def _rows(
        self,
        tenant: TenantId,
        question: TicksQuestion,
        streams: Sequence[StreamInfo],
        which: Which,
    ) -> Rows:
        if not streams:
            return np.zeros(0, TICK_LAYOUT)
        asked = PageQuestion(
            tenant=tenant,
            streams=[info.stream for info in streams],
            from_ms=question.from_ms,
            to_ms=question.to_ms,
            limit=question.limit + 1,
            which=which,
            after=question.after,
        )
        return await self._guards.clickhouse_reads.run(lambda: self._store.page(asked))


def _position(rows: Rows) -> Position:
    last = rows[-1]
    return Position(
        event_ms=int(last["event_ms"]),
        stream=uuid_of(last["stream"]),
        sequence=int(last["sequence"]),
    )


def _quotes(rows: Rows, streams: dict[UUID, StreamInfo]) -> list[LastQuote]:
    quotes: list[LastQuote] = []
    for row, time in zip(rows, rfc3339_of_ms(rows["event_ms"]), strict=True):
        info = streams[uuid_of(row["stream"])]
        bid = int(row["bid"])
        quotes.append(
            LastQuote(
                symbol=info.symbol,
                stream=info.stream,
                sequence=int(row["sequence"]),
                time=time,
                bid=price_text(bid, info.digits),
                ask=price_text(bid + int(row["spread"]), info.digits),
            )
        )
    return sorted(quotes, key=lambda quote: quote.symbol)
