"""Answering questions about bars: kept ones, and where ticks came since, bars made from ticks."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import msgspec
import numpy as np

from aitrading.core.domain.instruments import SYMBOL_BYTES_MAX, require_name
from aitrading.core.domain.price import decimal_text
from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.core.kit.errors import Category, ErrorSpec, Severity
from aitrading.core.kit.ids import TenantId
from aitrading.server.database_service.bars.keeper import SQL
from aitrading.server.database_service.bars.periods import Period
from aitrading.server.database_service.bars.port import (
    BarsQuestion,
    BarStore,
    Span,
    merged,
    widened,
)
from aitrading.server.database_service.clickhouse.native import uuid_of
from aitrading.server.database_service.clickhouse.port import Rows
from aitrading.server.database_service.errors import SYMBOL_UNKNOWN
from aitrading.server.database_service.guards import Guards
from aitrading.server.database_service.ticks.rendering import rfc3339_of_ms
from aitrading.server.kit.postgres import PostgresPool

BARS_AMBIGUOUS: Final = ErrorSpec(
    code="BARS_AMBIGUOUS",
    category=Category.DENIED,
    message="{symbol} comes from {count} sources: {sources}.",
    why="Bars of two devices or brokers mixed together would be bars of neither.",
    remedy="Choose one with `device`.",
    http_status=409,
    severity=Severity.INFO,
)


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """Bids of one stretch of time, and the spread in points; null when nobody asked."""

    time: str
    open: str
    high: str
    low: str
    close: str
    ticks: int
    spread_min: int | None
    spread_max: int | None
    spread_mean: float | None
    closed: bool


class BarsPage(msgspec.Struct, frozen=True, kw_only=True):
    """Bars by time (UTC); `next_cursor` asks for the next page and is null on the last one."""

    symbol: str
    period: str
    items: list[Bar]
    next_cursor: str | None


@dataclass(frozen=True, kw_only=True)
class BarsAsked:
    """What a user asks, parsed and bounded; raises `INSTRUMENT_MALFORMED` for an odd symbol."""

    symbol: str
    device: UUID | None
    period: Period
    from_s: int
    to_s: int
    limit: int

    def __post_init__(self) -> None:
        require_name("symbol", self.symbol, SYMBOL_BYTES_MAX)


@dataclass(frozen=True, kw_only=True)
class _Source:
    digits: dict[UUID, int]
    """Of each stream, the oldest epoch first."""
    dirty: list[Span]


class BarReader:
    """Reads go through the bulkhead of questions and the breakers of both stores."""

    def __init__(self, pool: PostgresPool, store: BarStore, guards: Guards, clock: Clock) -> None:
        self._pool = pool
        self._store = store
        self._guards = guards
        self._clock = clock

    async def page(self, tenant: TenantId, asked: BarsAsked) -> BarsPage:
        """One page; raises `SYMBOL_UNKNOWN`, `BARS_AMBIGUOUS`, or that a store is away."""
        async with self._guards.reads.slot():
            source = await self._source(tenant, asked)
            question = BarsQuestion(
                tenant=tenant,
                streams=list(source.digits),
                period=asked.period,
                from_s=_whole(asked.from_s, asked.period),
                to_s=_whole(asked.to_s, asked.period),
                limit=asked.limit + len(source.digits),
                dirty=source.dirty,
            )
            rows = await self._guards.clickhouse_reads.run(lambda: self._store.page(question))
            now_s = self._clock.now_ns() // NS_PER_S
            return await asyncio.to_thread(_page, asked, rows, source.digits, now_s)

    async def _source(self, tenant: TenantId, asked: BarsAsked) -> _Source:
        """Streams and what is dirty of them, as of one moment."""
        with self._guards.postgres.guard():
            async with self._pool.tenant_read(tenant) as tx:
                found = await tx.fetch(SQL["sources"], asked.symbol, asked.device)
                notes = await tx.fetch(SQL["of_streams"], [row["id"] for row in found])
        if not found:
            raise SYMBOL_UNKNOWN.error(symbol=asked.symbol)
        sources = sorted({(str(row["device_id"]), row["broker"]) for row in found})
        if len(sources) > 1:
            told = ", ".join(f"device {device} at {broker}" for device, broker in sources[:8])
            raise BARS_AMBIGUOUS.error(symbol=asked.symbol, count=len(sources), sources=told)
        spans = [
            widened((note["from_s"], note["until_s"] + 1), asked.period.seconds) for note in notes
        ]
        digits = {row["id"]: row["digits"] for row in found}
        return _Source(digits=digits, dirty=merged(spans))


def _whole(moment_s: int, period: Period) -> int:
    """The first begin of a bar that is not before the moment."""
    return -(-moment_s // period.seconds) * period.seconds


def _page(asked: BarsAsked, rows: Rows, digits: dict[UUID, int], now_s: int) -> BarsPage:
    """Bars that begin together came together, and more than a page of them where there are more."""
    parts: dict[int, list[Any]] = defaultdict(list)
    for row in rows:
        parts[int(row["begins_s"])].append(row)
    begins = list(parts)
    shown = begins[: asked.limit]
    if len(rows) >= asked.limit + len(digits) and len(shown) == len(begins):
        del shown[-1]  # it tells that more may follow
    order = {stream: number for number, stream in enumerate(digits)}
    times = rfc3339_of_ms(np.array(shown, "<i8") * 1_000)
    items = [
        _bar(
            time,
            sorted(parts[begin], key=lambda row: order[uuid_of(row["stream"])]),
            digits,
            closed=begin + asked.period.seconds <= now_s,
        )
        for time, begin in zip(times, shown, strict=True)
    ]
    following = str(begins[len(shown)]) if len(shown) < len(begins) else None
    return BarsPage(
        symbol=asked.symbol, period=asked.period.text, items=items, next_cursor=following
    )


def _bar(time: str, parts: list[Any], digits: dict[UUID, int], *, closed: bool) -> Bar:
    """One bar of the parts of it that each epoch has; all prices with the most digits of them."""
    most = max(digits[uuid_of(part["stream"])] for part in parts)

    def points(part: Any, field: str) -> int:
        return int(part[field]) * 10 ** (most - digits[uuid_of(part["stream"])])

    asked = [part for part in parts if part["spread_ticks"]]
    spread_ticks = sum(int(part["spread_ticks"]) for part in asked)
    spread_sum = sum(points(part, "spread_sum") for part in asked)
    return Bar(
        time=time,
        open=decimal_text(points(parts[0], "open"), most),
        high=decimal_text(max(points(part, "high") for part in parts), most),
        low=decimal_text(min(points(part, "low") for part in parts), most),
        close=decimal_text(points(parts[-1], "close"), most),
        ticks=sum(int(part["ticks"]) for part in parts),
        spread_min=min((points(part, "spread_min") for part in asked), default=None),
        spread_max=max((points(part, "spread_max") for part in asked), default=None),
        spread_mean=float(round(Decimal(spread_sum) / spread_ticks, 1)) if asked else None,
        closed=closed,
    )
