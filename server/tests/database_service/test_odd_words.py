"""What a question or a device says, however odd, fells no store and nobody else's work."""

from collections.abc import Awaitable
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid5

import pytest

from aitrading.core.infrastructure.resilience import BreakerState
from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import TenantId
from aitrading.core.protocol.link.messages import DAY_TICKS_MAX
from aitrading.core.testing.async_test import async_test
from aitrading.server.database_service.feed_truth.book import GapBook
from aitrading.server.database_service.usage.book import UsageBook
from aitrading.server.kit.feed_truth_api import FeedTruth, GapTold, RepairTold

pytestmark = pytest.mark.integration
Tenants = tuple[TenantId, TenantId]
LARGEST = (1 << 63) - 1
AFTER_TIME_MS = 1 << 60
GAP = """
INSERT INTO market.gaps (id, stream_id, first_sequence, last_sequence, from_ms, until_ms, reason,
                         recorded_by, noticed_at)
VALUES ($1, $2, $3, $4, $5, $6, 'lost', 'device', now())
"""
DAY = """
INSERT INTO market.stream_days
       (stream_id, day, ticks, digest, last_sequence, counted_from, is_over)
VALUES ($1, $2, $3, repeat('a', 32), 3, 1, true)
"""


async def code_of(attempt: Awaitable[object]) -> str:
    with pytest.raises(AitradingError) as caught:
        await attempt
    return caught.value.code


def gap_of(stream: UUID, reason: str) -> GapTold:
    return GapTold(
        stream=stream,
        reason=reason,
        recorded_by="device",
        noticed_ns=LARGEST,
        from_ms=1,
        until_ms=2,
    )


@pytest.mark.parametrize("every_world", ["postgres"], indirect=True)
@async_test
async def test_a_value_that_postgresql_does_not_take_is_no_failure_of_it(
    every_world: Any, tenants: Tenants, payload: Any
) -> None:
    alpha, beta = tenants
    async with every_world() as w:
        mine, theirs = await w.open(alpha), await w.open(beta)
        book = GapBook(w.pool, w.store, w.guards)
        said = FeedTruth(
            tenant=alpha, device=uuid5(alpha, "device"), gaps=(gap_of(mine, "a\x00b"),)
        )
        for _ in range(4):
            question = w.reader.quarantined_days(alpha, symbol="a\x00b", after=None, limit=10)
            assert await code_of(question) == "DATABASE_VALUE_REFUSED"
            assert await code_of(book.take(said)) == "DATABASE_VALUE_REFUSED"
        assert w.guards.postgres.state is BreakerState.CLOSED
        await w.intake.take(*w.segment(payload(beta, theirs, 1, 10)))


@pytest.mark.parametrize("every_world", ["postgres"], indirect=True)
@async_test
async def test_gaps_with_impossible_ends_that_were_kept_once_are_shown_and_stop_nothing(
    every_world: Any, tenants: Tenants, payload: Any
) -> None:
    alpha, beta = tenants
    async with every_world() as w:
        mine, theirs = await w.open(alpha), await w.open(beta)
        book = GapBook(w.pool, w.store, w.guards)
        device = uuid5(alpha, "device")
        ends = (
            (5, LARGEST, None, None),
            (None, None, AFTER_TIME_MS, AFTER_TIME_MS + 5),
            (None, None, -LARGEST, LARGEST),
        )
        async with w.pool.tenant_tx(alpha) as tx:
            for number, each in enumerate(ends):
                await tx.execute(GAP, UUID(int=number + 1), mine, *each)
        await w.intake.take(*w.segment(payload(alpha, mine, 1, 10), payload(beta, theirs, 1, 10)))
        repair = RepairTold(gap=UUID(int=2), stream=mine, first=0, last=LARGEST)
        said = FeedTruth(
            tenant=alpha, device=device, gaps=(gap_of(mine, "lost"),), repairs=(repair,)
        )
        assert (await book.take(said)).gaps == 4
        page = await book.page(alpha, symbol=None, only_open=True, after=None, limit=10)
        times = {one.id.int: (one.from_time, one.until_time) for one in page.items}
        assert [times[number] for number in (1, 2, 3)] == [(None, None)] * 3
        possible = gap_of(mine, "lost").id
        assert [one.gap for one in (await book.orders(alpha, device)).orders] == [possible]
        await w.intake.take(*w.segment(payload(alpha, mine, 11, 10)))


@pytest.mark.parametrize("every_world", ["postgres"], indirect=True)
@async_test
async def test_counts_that_no_feed_can_have_leave_the_usage_readable(
    every_world: Any, tenants: Tenants
) -> None:
    alpha, _ = tenants
    async with every_world() as w:
        stream = await w.open(alpha)
        first = date(2026, 11, 2)
        async with w.pool.tenant_tx(alpha) as tx:
            for number in range(3):
                await tx.execute(DAY, stream, first + timedelta(number), LARGEST)
        usage = await UsageBook(w.pool, w.guards, SystemClock()).of(
            alpha, first, first + timedelta(5)
        )
        assert usage.total.ticks == 3 * DAY_TICKS_MAX
        assert [day.ticks for day in usage.days] == [DAY_TICKS_MAX] * 3
