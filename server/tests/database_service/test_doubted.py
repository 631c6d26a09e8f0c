"""Ticks that are not believed: kept, counted once, asked for, and in nothing else."""

from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid5

import numpy as np
import pytest

from aitrading.core.domain.market import TICK_DTYPE, TickArray
from aitrading.core.domain.tick_doubts import Doubt
from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import TenantId
from aitrading.core.security.crypto import SigningKey
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.manual_clock import ManualClock
from aitrading.core.testing.segments import ingest_payload
from aitrading.server.database_service.bars.keeper import BarKeeper
from aitrading.server.database_service.bars.periods import Period
from aitrading.server.database_service.bars.reader import BarReader, BarsAsked
from aitrading.server.database_service.bars.settings import BarSettings
from aitrading.server.database_service.endpoints import FAR_MS
from aitrading.server.database_service.feed_truth.certificates import Certificates
from aitrading.server.database_service.ticks import ledger
from aitrading.server.database_service.ticks.reader import TicksQuestion
from aitrading.server.database_service.ticks.rendering import LATEST_MS, position_of

pytestmark = pytest.mark.integration
Tenants = tuple[TenantId, TenantId]
BEGAN_MS = 1_700_000_000_000
RECEIVED = date(2023, 11, 14)


def rows_with_doubts() -> TickArray:
    """Twenty ticks, four of them in doubt: two crossed, one absurd, one of no calendar."""

    rows = np.zeros(20, TICK_DTYPE)
    rows["event_ms"] = BEGAN_MS + 100 * np.arange(20)
    rows["bid"], rows["ask"], rows["flags"] = 108_345, 108_351, 6
    rows["ask"][[3, 4]] = 108_000
    rows["bid"][7], rows["ask"][7] = 208_345, 208_351
    rows["event_ms"][19] = -(2**60)
    rows["doubt"][[3, 4, 7, 19]] = (
        Doubt.CROSSED,
        Doubt.CROSSED,
        Doubt.ABSURD,
        Doubt.TIME_IMPOSSIBLE,
    )
    return rows


async def send(
    w: Any, tenant: TenantId, stream: UUID, *, received_ns: int = BEGAN_MS * 1_000_000
) -> None:
    payload = ingest_payload(
        rows_with_doubts(), tenant=tenant, stream=stream, first_sequence=1, receive_ns=received_ns
    )
    await w.intake.take(*w.segment(payload))


def question(*, limit: int = 100, after: Any = None, everything: bool = True) -> TicksQuestion:
    low, high = (-FAR_MS, FAR_MS) if everything else (0, LATEST_MS)
    return TicksQuestion(
        symbol="EURUSD", stream=None, from_ms=low, to_ms=high, limit=limit, after=after
    )


@async_test
async def test_they_are_asked_for_alone_and_missing_elsewhere(
    every_world: Any, tenants: Tenants
) -> None:
    alpha, beta = tenants
    async with every_world() as w:
        stream = await w.open(alpha)
        await send(w, alpha, stream)
        page = await w.reader.page(alpha, question(everything=False))
        assert [one.sequence for one in page.items] == [
            one for one in range(1, 20) if one not in (4, 5, 8)
        ]
        found = (await w.reader.quarantined(alpha, question())).items
        assert [(one.sequence, one.reasons) for one in found] == [
            (20, ("TIME_IMPOSSIBLE",)), (4, ("CROSSED",)), (5, ("CROSSED",)), (8, ("ABSURD",)),
        ]  # fmt: skip
        assert (found[0].time, found[0].event_ms) == (None, -(2**60))
        assert (found[3].bid, found[3].ask) == ("2.08345", "2.08351")
        [newest] = await w.reader.newest_quotes(alpha)
        assert (newest.sequence, newest.bid) == (19, "1.08345")
        with pytest.raises(AitradingError, match="SYMBOL_UNKNOWN"):
            await w.reader.quarantined(beta, question())


@async_test
async def test_pages_of_them_follow_each_other(every_world: Any, tenants: Tenants) -> None:

    alpha, _ = tenants
    async with every_world() as w:
        await send(w, alpha, await w.open(alpha))
        seen: list[int] = []
        after = None
        while True:
            page = await w.reader.quarantined(alpha, question(limit=1, after=after))
            seen += [one.sequence for one in page.items]
            if page.next_cursor is None:
                break
            after = position_of(page.next_cursor)
        assert seen == [20, 4, 5, 8]


@async_test
async def test_they_are_counted_once_however_often_they_come(
    every_world: Any, tenants: Tenants
) -> None:
    alpha, beta = tenants
    async with every_world() as w:
        stream = await w.open(alpha)
        for _ in range(2):
            await send(w, alpha, stream)
        later = await w.open(alpha, "GBPUSD")
        await send(w, alpha, later, received_ns=(BEGAN_MS + 86_400_000) * 1_000_000)

        async def days(tenant: TenantId, **asked: Any) -> Any:
            plain = {"symbol": None, "after": None, "limit": 10}
            return await w.reader.quarantined_days(tenant, **(plain | asked))

        reasons = {"CROSSED": 2, "ABSURD": 1, "TIME_IMPOSSIBLE": 1}
        assert [(one.day, one.symbol, one.ticks, one.reasons) for one in (await days(alpha)).items] == [
            (date(2023, 11, 15), "GBPUSD", 4, reasons), (RECEIVED, "EURUSD", 4, reasons),
        ]  # fmt: skip
        assert [one.stream for one in (await days(alpha, symbol="EURUSD")).items] == [stream]
        assert (await days(beta)).items == []
        first = await days(alpha, limit=1)
        place = (datetime(2023, 11, 15, tzinfo=UTC), first.items[0].stream)
        assert first.next_cursor is not None
        assert [one.symbol for one in (await days(alpha, after=place)).items] == ["EURUSD"]


@async_test
async def test_they_are_counted_although_the_first_try_was_not_recorded(
    world: Any, tenants: Tenants, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that were inserted and not recorded are taken over by the repeat, and counted by it."""

    alpha, _ = tenants
    async with world() as w:
        stream = await w.open(alpha)

        async def dies(*_: Any) -> None:
            raise ConnectionResetError

        with monkeypatch.context() as patched:
            patched.setattr(ledger, "record", dies)
            with pytest.raises(ConnectionResetError):
                await send(w, alpha, stream)
        await send(w, alpha, stream)
        found = await w.reader.quarantined_days(alpha, symbol=None, after=None, limit=10)
        assert [one.ticks for one in found.items] == [4]
        assert await w.counts(alpha, stream) == (20, 20, 1, 20)


@async_test
async def test_bars_do_not_know_them_and_certificates_count_them(
    every_world: Any, tenants: Tenants
) -> None:
    alpha, _ = tenants
    async with every_world() as w:
        stream = await w.open(alpha)
        await send(w, alpha, stream)
        clock = ManualClock(start_ns=(BEGAN_MS + 90_000_000) * 1_000_000)
        reader = BarReader(w.pool, w.bars, w.guards, clock)
        asked = BarsAsked(
            symbol="EURUSD", device=None, period=Period.M1, from_s=0, to_s=4_102_444_800, limit=9
        )
        keeper = BarKeeper(
            w.pool, w.bars, w.writer, w.guards, BarSettings(), clock, w.errors, w.metrics
        )
        for keep in (False, True):
            if keep:
                await keeper.keep()
            bars = (await reader.page(alpha, asked)).items
            assert [(one.high, one.low, one.ticks) for one in bars] == [("1.08345", "1.08345", 16)]
        maker = Certificates(w.pool, w.store, w.guards, SigningKey.generate(), SystemClock())
        made = (await maker.of(alpha, "EURUSD", RECEIVED, uuid5(alpha, "device"))).certificate
        assert (made.stored, made.quarantined) == (19, 3), "of this day by their own times"
