"""The ledger of gaps: what devices and bridge tell of, what may be repaired, pages for people."""

from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from aitrading.core.kit.clock import NS_PER_S
from aitrading.core.kit.ids import TenantId
from aitrading.server.database_service.feed_truth.ordering import ON_THEIR_WAY, Ordering
from aitrading.server.database_service.guards import Guards
from aitrading.server.database_service.ticks.ledger import settle_gaps
from aitrading.server.database_service.ticks.port import TickStore
from aitrading.server.kit.feed_truth_api import (
    CALENDAR_MS,
    REASON_CHARS_MAX,
    FeedTruth,
    GapTold,
    RepairOrders,
    TruthTaken,
)
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.queries import Queries
from aitrading.server.kit.time_cursors import cursor_of
from aitrading.server.kit.transactions import TenantTransaction

SQL: Final = Queries.load(__package__ or "", "truth.sql")
ORDERS_MAX: Final = 32
LOOKED_AT_MAX: Final = 64
"""Gaps of one device that a question for orders looks at; each takes a few reads."""
NEAR_MAX: Final = 64
"""Other gaps of a symbol that are held against a stretch of time."""


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """Ticks that are, or were, missing."""

    id: UUID
    symbol: str
    device: UUID
    stream: UUID
    state: str
    """`OPEN`; `REPAIRING`: fetched again and on its way; `REPAIRED`."""
    reason: str
    recorded_by: str
    first_sequence: int | None
    last_sequence: int | None
    from_time: str | None
    until_time: str | None
    noticed_at: datetime
    problem: str
    """Why it cannot be repaired, as the device or the database found; empty while nobody tried."""
    repaired_at: datetime | None
    repaired_ticks: int | None


class GapsPage(msgspec.Struct, frozen=True, kw_only=True):
    """The newest first."""

    items: list[Gap]
    next_cursor: str | None


class GapBook:
    """Gaps and counted days, under the tenant's row security."""

    def __init__(self, pool: PostgresPool, store: TickStore, guards: Guards) -> None:
        self._pool = pool
        self._store = store
        self._guards = guards

    async def take(self, truth: FeedTruth) -> TruthTaken:
        """Make it durable; what concerns streams of another device is left out."""
        with self._guards.postgres.guard():
            async with self._pool.tenant_tx(TenantId(truth.tenant)) as tx:
                await _take_days(tx, truth)
                await _take_gaps(tx, truth)
                await _take_repairs(tx, truth)
                streams = {one.stream for one in (*truth.gaps, *truth.repairs)}
                await settle_gaps(tx, sorted(streams))
                return TruthTaken(gaps=await tx.fetch_value(SQL["open_gaps"]))

    async def orders(self, tenant: TenantId, device: UUID) -> RepairOrders:
        """What the device may repair: gaps of which nothing is on its way.

        A gap that cannot be ordered says why, and is looked at again an hour later; those that
        were never looked at come first, so that none stands before another for ever. An answer of
        the future is one of a clock that was set back since, and makes nothing wait.
        """
        with self._guards.postgres.guard():
            async with self._pool.tenant_read(tenant) as tx:
                rows = await tx.fetch(SQL["to_repair"], device, LOOKED_AT_MAX, [*ON_THEIR_WAY])
                alike = {
                    row["id"]: [one["id"] for one in found]
                    for row in rows
                    for found in [await tx.fetch(SQL["streams_alike"], row["stream_id"])]
                }
                near = {
                    row["id"]: await tx.fetch(SQL["near"], alike[row["id"]], row["id"], NEAR_MAX)
                    for row in rows
                    if row["first_sequence"] is None
                }
        ordering = Ordering(tenant, self._store, self._guards)
        problems: dict[UUID, str] = {}
        async with self._guards.reads.slot():
            for row in rows:
                problem = await ordering.add(row, alike[row["id"]], near.get(row["id"], ()))
                if problem:
                    problems[row["id"]] = problem
                if len(ordering.orders) == ORDERS_MAX:
                    break
        if problems:
            with self._guards.postgres.guard():
                async with self._pool.tenant_tx(tenant) as tx:
                    await tx.execute(SQL["cannot_order"], [*problems], [*problems.values()])
        return RepairOrders(orders=tuple(ordering.orders))

    async def page(
        self,
        tenant: TenantId,
        *,
        symbol: str | None,
        only_open: bool,
        after: tuple[datetime, UUID] | None,
        limit: int,
    ) -> GapsPage:
        """Gaps by the time at which they were recorded, the newest first."""
        at, gap = after or (None, None)
        with self._guards.postgres.guard():
            async with self._pool.tenant_read(tenant) as tx:
                rows = await tx.fetch(SQL["gaps"], symbol, only_open, at, gap, limit + 1)
        shown = rows[:limit]
        more = len(rows) > limit
        cursor = cursor_of(shown[-1]["recorded_at"], shown[-1]["id"]) if more else None
        return GapsPage(items=[_gap(row) for row in shown], next_cursor=cursor)


async def _take_days(tx: TenantTransaction, truth: FeedTruth) -> None:
    days = {(one.stream, one.day): one for one in truth.days}.values()
    if days:
        await tx.execute(
            SQL["take_days"],
            truth.device,
            *map(
                list,
                zip(
                    *(
                        (
                            one.stream, one.day, one.ticks, one.digest, one.last_sequence,
                            one.counted_from, one.is_over,
                        )
                        for one in days
                    ),
                    strict=True,
                ),
            ),
        )  # fmt: skip


async def _take_gaps(tx: TenantTransaction, truth: FeedTruth) -> None:
    gaps = {one.id: one for one in truth.gaps}
    if gaps:
        columns = zip(*(_columns(gap_id, one) for gap_id, one in gaps.items()), strict=True)
        await tx.execute(SQL["take_gaps"], truth.device, *map(list, columns))


def _columns(gap_id: UUID, gap: GapTold) -> tuple[Any, ...]:
    return (
        gap_id,
        gap.stream,
        gap.first,
        gap.last,
        gap.from_ms,
        gap.until_ms,
        gap.reason[:REASON_CHARS_MAX],
        gap.recorded_by,
        gap.noticed_ns / NS_PER_S,
        gap.repair_first,
        gap.repair_last,
    )


async def _take_repairs(tx: TenantTransaction, truth: FeedTruth) -> None:
    repairs = {one.gap: one for one in truth.repairs}.values()
    if repairs:
        columns = zip(
            *((one.gap, one.stream, one.first, one.last, one.problem) for one in repairs),
            strict=True,
        )
        await tx.execute(SQL["take_repairs"], truth.device, *map(list, columns))


def _gap(row: Any) -> Gap:
    state = "REPAIRED" if row["repaired_at"] else "REPAIRING" if row["repair_last"] else "OPEN"
    return Gap(
        id=row["id"],
        symbol=row["symbol"],
        device=row["device_id"],
        stream=row["stream_id"],
        state=state,
        reason=row["reason"],
        recorded_by=row["recorded_by"],
        first_sequence=row["first_sequence"],
        last_sequence=row["last_sequence"],
        from_time=_time(row["from_ms"]),
        until_time=_time(row["until_ms"]),
        noticed_at=row["noticed_at"],
        problem=row["problem"],
        repaired_at=row["repaired_at"],
        repaired_ticks=row["repaired_ticks"],
    )


def _time(moment_ms: int | None) -> str | None:
    """None for a moment that nobody told, or that is in no calendar: a device may say anything."""
    if moment_ms is None or not 0 <= moment_ms < CALENDAR_MS:
        return None
    return datetime.fromtimestamp(moment_ms / 1_000, UTC).isoformat(timespec="milliseconds")
