"""Bars are what the ticks say, whatever order they came in and whatever died in between."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count, pairwise
from typing import Any
from uuid import UUID, uuid5

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aitrading.core.domain.market import TICK_DTYPE, TickArray
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import TenantId
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.manual_clock import ManualClock
from aitrading.core.testing.segments import ingest_payload
from aitrading.server.database_service.bars.keeper import BarKeeper
from aitrading.server.database_service.bars.periods import Period
from aitrading.server.database_service.bars.port import BarStore, merged, widened
from aitrading.server.database_service.bars.reader import BarReader, BarsAsked
from aitrading.server.database_service.bars.settings import BarSettings
from aitrading.server.database_service.bars.store import ClickHouseBarStore
from aitrading.server.database_service.clickhouse.errors import CLICKHOUSE_UNAVAILABLE
from aitrading.server.kit.ingest_api import OpenStreams, StreamOpening

pytestmark = pytest.mark.integration
Tenants = tuple[TenantId, TenantId]
BEGAN_S = 1_699_999_200  # a whole hour
AN_AGE_S = 4_102_444_800
DIGITS = 5


class DyingStore(ClickHouseBarStore):
    """Dies after some of the statements."""

    def __init__(self, clickhouse: Any, after: int) -> None:
        super().__init__(self)  # type: ignore[arg-type]
        self._real, self._left = clickhouse, after

    async def execute(self, sql: str, parameters: Any = None, **whose: Any) -> None:
        if self._left == 0:
            raise ConnectionResetError
        self._left -= 1
        await self._real.execute(sql, parameters, **whose)


@dataclass
class Room:
    """A world with a keeper and a reader of bars."""

    world: Any
    reader: BarReader

    def keeper(self, store: BarStore | None = None) -> BarKeeper:
        w = self.world
        store = store or w.bars
        clock = ManualClock()
        return BarKeeper(
            w.pool, store, w.writer, w.guards, BarSettings(), clock, w.errors, w.metrics
        )

    async def send(self, tenant: TenantId, stream: UUID, first: int, rows: TickArray) -> int:
        payload = ingest_payload(rows, tenant=tenant, stream=stream, first_sequence=first)
        _, outcome = await self.world.intake.take(*self.world.segment(payload))
        return int(outcome.inserted)

    async def bars(
        self, tenant: TenantId, period: Period, limit: int = 10_000, **more: Any
    ) -> Any:
        plain = {"symbol": "EURUSD", "device": None, "from_s": 0, "to_s": AN_AGE_S}
        asked = BarsAsked(period=period, limit=limit, **(plain | more))
        return await self.reader.page(tenant, asked)


def room_of(world: Any) -> Room:
    clock = ManualClock(start_ns=(BEGAN_S + 90_000) * 1_000_000_000)
    reader = BarReader(world.pool, world.bars, world.guards, clock)
    return Room(world, reader)


def ticks_of(moves: Sequence[tuple[int, int, int]]) -> TickArray:
    """Ticks of (milliseconds since the begin, bid, ask) in points."""
    rows = np.zeros(len(moves), TICK_DTYPE)
    for row, (ms, bid, ask) in zip(rows, moves, strict=True):
        row["event_ms"], row["bid"], row["ask"], row["flags"] = BEGAN_S * 1_000 + ms, bid, ask, 6
    return rows


def expected(rows: TickArray, period: Period) -> list[tuple[Any, ...]]:
    """The same in plain Python: one tick after the other."""
    bars: dict[int, list[Any]] = {}
    order = sorted(range(len(rows)), key=lambda number: (int(rows["event_ms"][number]), number))
    for number in order:
        bid, ask = int(rows["bid"][number]), int(rows["ask"][number])
        if bid <= 0:
            continue
        begin = int(rows["event_ms"][number]) // 1_000 // period.seconds * period.seconds
        spreads = [ask - bid] if ask > 0 else []
        if begin not in bars:
            bars[begin] = [bid, bid, bid, bid, 1, spreads]
            continue
        bar = bars[begin]
        bar[1], bar[2], bar[3] = max(bar[1], bid), min(bar[2], bid), bid
        bar[4] += 1
        bar[5] = bar[5] + spreads
    return [
        (begin, *bar[:5], min(bar[5], default=None), max(bar[5], default=None))
        for begin, bar in sorted(bars.items())
    ]


def told(page: Any) -> list[tuple[Any, ...]]:
    def points(text: str) -> int:
        return round(float(text) * 10**DIGITS)

    return [
        (
            int(np.datetime64(bar.time.rstrip("Z"), "s").astype(int)),
            *(points(price) for price in (bar.open, bar.high, bar.low, bar.close)),
            bar.ticks,
            bar.spread_min,
            bar.spread_max,
        )
        for bar in page.items
    ]


MOVES = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 200_000), st.integers(0, 100_000_000)),
        st.integers(0, 300),
        st.integers(0, 300),
    ),
    min_size=1,
    max_size=40,
)


@pytest.mark.timeout(480)
@async_test
async def test_bars_are_what_plain_python_makes_of_the_ticks(
    every_world: Any, tenants: Tenants
) -> None:
    """Segments of any size, sent again, kept in between or not: every period, at every moment."""
    numbers = count(1)

    @settings(
        max_examples=10, suppress_health_check=list(HealthCheck), derandomize=True, database=None
    )
    @given(
        moves=MOVES, cuts=st.lists(st.integers(0, 40), max_size=4), kept=st.lists(st.booleans())
    )
    def some(moves: Any, cuts: list[int], kept: list[bool]) -> None:
        rows = ticks_of(moves)
        edges = sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})
        tenant = TenantId(uuid5(tenants[0], f"example {next(numbers)}"))
        pending.append((tenant, rows, edges, kept))

    pending: list[Any] = []
    some()
    async with every_world() as w:
        room = room_of(w)
        keeper = room.keeper()
        for tenant, rows, edges, kept in pending if w.home else pending[-2:]:
            stream = await w.open(tenant)
            for number, (low, high) in enumerate(pairwise(edges)):
                await room.send(tenant, stream, low + 1, rows[low:high])
                if number < len(kept) and kept[number]:
                    await keeper.keep([tenant])
                await room.send(tenant, stream, low + 1, rows[low:high])
            for period in Period:
                assert told(await room.bars(tenant, period)) == expected(rows, period)
            await keeper.keep([tenant])
            for period in Period:
                assert told(await room.bars(tenant, period)) == expected(rows, period)


@pytest.mark.parametrize("after", [0, 1, 2])
@async_test
async def test_a_keeper_killed_at_any_statement_leaves_exact_bars(
    world: Any, tenants: Tenants, after: int
) -> None:
    alpha, _ = tenants
    rows = ticks_of([(number * 7_000, 100 + number % 13, 110) for number in range(60)])
    async with world() as w:
        room = room_of(w)
        stream = await w.open(alpha)
        await room.send(alpha, stream, 1, rows[:30])
        await room.keeper().keep()
        await room.send(alpha, stream, 31, rows[30:])
        dying = room.keeper(DyingStore(w.clickhouse, after))
        with pytest.raises(ConnectionResetError):
            await dying.keep()
        for period in Period:
            assert told(await room.bars(alpha, period)) == expected(rows, period)
        await room.keeper().keep([alpha])
        for period in Period:
            assert told(await room.bars(alpha, period)) == expected(rows, period)


class FaultyBars:
    """Fails at a moment of making bars; else it is the store that it was given."""

    def __init__(self, store: BarStore, moment: str, refused: TenantId | None = None) -> None:
        self._store, self._moment, self._refused = store, moment, refused

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def make(self, tenant: TenantId, *arguments: Any) -> None:
        if self._refused not in {None, tenant}:
            await self._store.make(tenant, *arguments)
            return
        if self._moment == "after":
            await self._store.make(tenant, *arguments)
        raise CLICKHOUSE_UNAVAILABLE.error(reason="test")


@pytest.mark.parametrize("moment", ["before", "after"])
@async_test
async def test_a_keeper_that_fails_around_its_transaction_leaves_exact_bars(
    world: Any, tenants: Tenants, moment: str
) -> None:
    """PostgreSQL makes all bars of a span or none; in ClickHouse any statement may be the last."""
    alpha, _ = tenants
    rows = ticks_of([(number * 7_000, 100 + number % 13, 110) for number in range(60)])
    async with world(alone=True) as w:
        room = room_of(w)
        stream = await w.open(alpha)
        await room.send(alpha, stream, 1, rows[:30])
        await room.keeper().keep([alpha])
        await room.send(alpha, stream, 31, rows[30:])
        with pytest.raises(AitradingError):
            await room.keeper(FaultyBars(w.bars, moment)).keep([alpha])
        for again in (False, True):
            for period in Period:
                assert told(await room.bars(alpha, period)) == expected(rows, period), again
            await room.keeper().keep([alpha])


async def noted(world: Any, tenant: TenantId) -> int:
    """How many stretches of a tenant's time have no bars yet."""
    async with world.pool.tenant_read(tenant) as tx:
        return await tx.fetch_value("SELECT count(*) FROM market.bar_dirt")


async def lose_ticks(world: Any, tenant: TenantId) -> None:
    """Take them out of the store, past everybody."""
    if world.alone:
        sql = f"DELETE FROM market.ticks WHERE tenant_id = '{UUID(int=tenant.int)}'"  # noqa: S608
        await asyncio.to_thread(world.postgres.as_superuser, sql)
        return
    sql = "ALTER TABLE market.ticks DELETE WHERE 1 SETTINGS mutations_sync = 1"
    await world.clickhouse.execute(sql)


@async_test
async def test_one_organisation_keeps_no_other_from_its_bars(
    every_world: Any, tenants: Tenants
) -> None:
    first, last = sorted(tenants)
    async with every_world() as w:
        room = room_of(w)
        for tenant in (first, last):
            await room.send(tenant, await w.open(tenant), 1, ticks_of([(0, 100, 110)]))
        with pytest.raises(AitradingError):
            await room.keeper(FaultyBars(w.bars, "before", refused=first)).keep()
        assert (await noted(w, first), await noted(w, last)) == (1, 0)


@async_test
async def test_kept_bars_are_read_and_not_made_again(every_world: Any, tenants: Tenants) -> None:
    alpha, _ = tenants
    async with every_world() as w:
        room = room_of(w)
        stream = await w.open(alpha)
        await room.send(alpha, stream, 1, ticks_of([(0, 100, 110), (61_000, 105, 111)]))
        await room.keeper().keep()
        assert await noted(w, alpha) == 0
        await lose_ticks(w, alpha)
        page = await room.bars(alpha, Period.M1)
        assert [bar.close for bar in page.items] == ["0.00100", "0.00105"]


@async_test
async def test_pages_follow_each_other(every_world: Any, tenants: Tenants) -> None:
    alpha, _ = tenants
    rows = ticks_of([(number * 1_000, 100 + number, 200) for number in range(13)])
    async with every_world() as w:
        room = room_of(w)
        first, second = await w.open(alpha), await _reopened(w, alpha)
        await room.send(alpha, first, 1, rows[:8])
        await room.send(alpha, second, 1, rows[8:])
        whole = (await room.bars(alpha, Period.S1)).items
        assert len(whole) == 13
        for limit in (1, 2, 5, 12, 13):
            found: list[Any] = []
            begins_s = 0
            while True:
                page = await room.bars(alpha, Period.S1, limit=limit, from_s=begins_s)
                assert len(page.items) <= limit
                found += page.items
                if page.next_cursor is None:
                    break
                begins_s = int(page.next_cursor)
            assert found == whole


@async_test
async def test_a_bar_is_whole_or_not_there(every_world: Any, tenants: Tenants) -> None:
    """A question that begins or ends within a bar: bars that begin inside, with all their ticks."""
    alpha, _ = tenants
    rows = ticks_of([(number * 1_000, 100 + number, 200) for number in range(240)])
    async with every_world() as w:
        room = room_of(w)
        await room.send(alpha, await w.open(alpha), 1, rows)
        inner = {"from_s": BEGAN_S + 30, "to_s": BEGAN_S + 150}
        made = told(await room.bars(alpha, Period.M1, **inner))
        assert made == expected(rows, Period.M1)[1:3]
        await room.keeper().keep()
        assert told(await room.bars(alpha, Period.M1, **inner)) == made


@async_test
async def test_a_new_epoch_goes_on_with_the_same_bar(every_world: Any, tenants: Tenants) -> None:
    """The client started again with one digit more: one minute, exact prices of both."""
    alpha, _ = tenants
    async with every_world() as w:
        room = room_of(w)
        first, second = await w.open(alpha), await _reopened(w, alpha, digits=DIGITS + 1)
        await room.send(alpha, first, 1, ticks_of([(0, 100, 110), (1_000, 90, 110)]))
        await room.send(alpha, second, 1, ticks_of([(2_000, 1_015, 1_100)]))
        (bar,) = (await room.bars(alpha, Period.M1)).items
        assert (bar.open, bar.high, bar.low, bar.close) == (
            "0.001000",
            "0.001015",
            "0.000900",
            "0.001015",
        )
        assert (bar.ticks, bar.spread_min, bar.spread_max) == (3, 85, 200)
        assert bar.closed


@async_test
async def test_two_devices_are_not_mixed(every_world: Any, tenants: Tenants) -> None:
    alpha, _ = tenants
    async with every_world() as w:
        room = room_of(w)
        device = UUID(int=5)
        own, other = await w.open(alpha), await _reopened(w, alpha, device=device)
        await room.send(alpha, own, 1, ticks_of([(0, 100, 110)]))
        await room.send(alpha, other, 1, ticks_of([(0, 200, 210)]))
        with pytest.raises(AitradingError) as refused:
            await room.bars(alpha, Period.M1)
        assert refused.value.code == "BARS_AMBIGUOUS"
        assert str(device) in refused.value.message
        (bar,) = (await room.bars(alpha, Period.M1, device=device)).items
        assert bar.open == "0.00200"


@async_test
async def test_nobody_sees_bars_of_another_organisation(
    every_world: Any, tenants: Tenants
) -> None:
    alpha, beta = tenants
    async with every_world() as w:
        room = room_of(w)
        await room.send(beta, await w.open(beta), 1, ticks_of([(0, 100, 110)]))
        await room.keeper().keep()
        with pytest.raises(AitradingError) as refused:
            await room.bars(alpha, Period.M1)
        assert refused.value.code == "SYMBOL_UNKNOWN"


async def _reopened(
    world: Any, tenant: TenantId, *, digits: int = DIGITS, device: UUID | None = None
) -> UUID:
    """The next epoch of the same symbol, by the same device unless another is given."""
    opening = StreamOpening(broker="Demo", login=7, symbol="EURUSD", epoch=2, digits=digits)
    request = OpenStreams(
        tenant=tenant, device=device or uuid5(tenant, "device"), streams=(opening,)
    )
    return (await world.book.open(request)).marks[0].stream


def test_spans_are_whole_and_few() -> None:
    assert widened((61, 62), 60) == (60, 120)
    assert widened((60, 120), 60) == (60, 120)
    assert merged([(5, 7), (1, 3), (3, 4), (6, 9)]) == [(1, 4), (5, 9)]
