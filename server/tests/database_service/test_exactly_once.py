"""Segments come again, overlap, arrive in any order and fail half-way: each tick is there once."""

import asyncio
import hashlib
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid5

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import TenantId
from aitrading.core.testing.async_test import async_test
from aitrading.server.database_service.ticks.blocks import Piece
from aitrading.server.database_service.ticks.port import TickStore
from aitrading.server.database_service.ticks.ranges import SequenceRanges
from aitrading.server.database_service.ticks.writer import TickWriter
from aitrading.server.engines.shared import PostgresServer
from aitrading.server.testing.commit_cutter import Cut, cutting

pytestmark = pytest.mark.integration
Tenants = tuple[TenantId, TenantId]
Payload = Callable[..., bytes]
SPACE = UUID(int=815)
END_OF_NOVEMBER_NS = 1_701_388_799_000_000_000
BATCHES = st.lists(
    st.lists(st.tuples(st.integers(1, 60), st.integers(1, 30)), min_size=1, max_size=4),
    min_size=1,
    max_size=6,
)


@async_test
async def test_a_segment_sent_again_stores_nothing(
    every_world: Any, tenants: Tenants, payload: Payload
) -> None:
    alpha, _ = tenants
    async with every_world() as w:
        stream = await w.open(alpha)
        name, body = w.segment(payload(alpha, stream, 1, 100))
        _, first = await w.intake.take(name, body)
        _, second = await w.intake.take(name, body)
        assert (first.repeated, first.inserted) == (False, 100)
        assert (second.repeated, second.inserted) == (True, 0)
        assert await w.counts(alpha, stream) == (100, 100, 1, 100)


@pytest.mark.parametrize("cut", Cut)
@pytest.mark.parametrize("alone", [False, True], ids=["clickhouse", "postgres alone"])
@async_test
async def test_a_segment_whose_commit_got_lost_comes_again_and_is_there_once(
    cut: Cut, alone: bool, world: Any, tenants: Tenants, payload: Payload, postgres: PostgresServer
) -> None:
    """Whichever commit of storing it is lost: the bridge keeps the segment until it has an answer."""
    alpha, _ = tenants
    async with (
        cutting(postgres.access("database")) as (cutter, access),
        world(alone=alone, access=lambda _: access) as w,
    ):
        stream = await w.open(alpha)
        began = cutter.seen
        assert await w.send(alpha, stream, 1, 100) == 100
        commits = cutter.seen - began
        for lost in range(commits):
            first = 101 + 100 * lost
            sent = w.segment(payload(alpha, stream, first, 100))
            cutter.spared, cutter.cuts = lost, [cut]
            for _ in range(2):
                with suppress(AitradingError):
                    await w.intake.take(*sent)
            assert cutter.cuts == []
            _, again = await w.intake.take(*sent)
            assert again.repeated
            assert await w.store.orphans((alpha, stream), SequenceRanges()) == [(1, first + 99)]
        if not alone:
            last = 100 + 100 * commits
            assert await w.counts(alpha, stream) == (last, last, 1, last)


@async_test
async def test_overlapping_segments_add_only_what_is_new(
    every_world: Any, tenants: Tenants
) -> None:
    alpha, _ = tenants
    async with every_world() as w:
        stream = await w.open(alpha)
        assert await w.send(alpha, stream, 1, 100) == 100
        assert await w.send(alpha, stream, 51, 100) == 50
        assert await w.send(alpha, stream, 1, 150) == 0
        assert await w.counts(alpha, stream) == (150, 150, 1, 150)


@async_test
async def test_a_hole_is_told_and_may_be_filled_later(every_world: Any, tenants: Tenants) -> None:
    alpha, _ = tenants
    async with every_world() as w:
        stream = await w.open(alpha)
        await w.send(alpha, stream, 1, 10)
        await w.send(alpha, stream, 21, 10)
        device = uuid5(alpha, "device")
        mark = (await w.book.marks(alpha, device)).marks[0]
        assert (mark.last_sequence, mark.missing) == (30, 10)
        assert [(gap.first, gap.last) for gap in mark.gaps] == [(11, 20)]
        assert await w.send(alpha, stream, 5, 20) == 10
        mark = (await w.book.marks(alpha, device)).marks[0]
        assert (mark.last_sequence, mark.missing, mark.gaps) == (30, 0, ())
        assert await w.counts(alpha, stream) == (30, 30, 1, 30)


def test_any_segments_in_any_order_store_their_union_once(
    every_world: Any, payload: Payload
) -> None:
    """One world for all examples: each has a tenant of its own."""

    async def scenario(w: Any, batches: list[list[tuple[int, int]]], repeats: list[int]) -> None:
        digest = hashlib.sha256(repr((own, batches, repeats)).encode()).hexdigest()
        alpha = TenantId(uuid5(SPACE, digest))
        w.spool = uuid5(SPACE, f"spool {digest}")
        stream = await w.open(alpha)
        segments = [
            w.segment(*(payload(alpha, stream, first, number) for first, number in batch))
            for batch in batches
        ]
        for index in (*range(len(segments)), *repeats):
            await w.intake.take(*segments[index % len(segments)])
        union = {s for batch in batches for low, n in batch for s in range(low, low + n)}
        expected = (len(union), len(union), min(union), max(union))
        assert await w.counts(alpha, stream) == expected

    with asyncio.Runner() as runner:
        opening = every_world()
        w = runner.run(opening.__aenter__())
        own = w.spool

        @settings(max_examples=15 if w.home else 5, deadline=None)
        @given(batches=BATCHES, repeats=st.lists(st.integers(0, 5), max_size=6))
        def examples(batches: list[list[tuple[int, int]]], repeats: list[int]) -> None:
            runner.run(scenario(w, batches, repeats))

        try:
            examples()
        finally:
            runner.run(opening.__aexit__(None, None, None))


@async_test
async def test_several_tenants_and_months_in_one_segment(
    every_world: Any, tenants: Tenants, payload: Payload
) -> None:
    alpha, beta = tenants
    async with every_world() as w:
        streams = {tenant: await w.open(tenant) for tenant in tenants}
        parts = [
            payload(tenant, streams[tenant], first, 10, receive_ns=END_OF_NOVEMBER_NS + later)
            for first, later in ((1, 0), (11, 10**9))
            for tenant in tenants
        ]
        _, outcome = await w.intake.take(*w.segment(*parts))
        assert outcome.inserted == 40
        for tenant in (alpha, beta):
            assert await w.counts(tenant, streams[tenant]) == (20, 20, 1, 20)


class FaultyStore:
    """Fails at a chosen moment of the next insert; else it is the store that it was given."""

    def __init__(self, store: TickStore, moment: str) -> None:
        self._store = store
        self.moment = moment
        self.kill: Callable[[], None] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def insert(self, pieces: Sequence[Piece], *, label: str) -> None:
        if self.moment == "before":
            raise ConnectionResetError
        if self.moment == "half":
            await self._store.insert(pieces[: len(pieces) // 2], label=label)
            raise ConnectionResetError
        await self._store.insert(pieces, label=label)
        if self.moment == "after":
            raise ConnectionResetError
        if self.kill is not None:
            await asyncio.to_thread(self.kill)
            self.kill = None


@async_test
async def test_a_failed_insert_is_repeated_without_a_copy(
    every_world: Any, tenants: Tenants, payload: Payload
) -> None:
    async with every_world() as w:
        for moment in ("before", "half", "after"):
            alpha = TenantId(uuid5(tenants[0], moment))
            stream = await w.open(alpha)
            w.intake._writer = w.writer
            await w.send(alpha, stream, 1, 5)
            faulty = FaultyStore(w.store, moment)
            w.intake._writer = TickWriter(w.pool, faulty, w.guards)
            segment = w.segment(payload(alpha, stream, 6, 50), payload(alpha, stream, 56, 50))
            with pytest.raises(ConnectionResetError):
                await w.intake.take(*segment)
            faulty.moment = ""
            _, outcome = await w.intake.take(*segment)
            assert not outcome.repeated
            assert await w.counts(alpha, stream) == (105, 105, 1, 105), moment


@async_test
async def test_a_commit_nobody_answered_is_repeated_without_a_copy(
    every_world: Any, tenants: Tenants, payload: Payload
) -> None:
    alpha, _ = tenants
    async with every_world() as w:
        stream = await w.open(alpha)
        faulty = FaultyStore(w.store, "")
        faulty.kill = lambda: w.postgres.as_superuser(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'test' AND state LIKE 'idle in%'"
        )
        w.intake._writer = TickWriter(w.pool, faulty, w.guards)
        segment = w.segment(payload(alpha, stream, 1, 50))
        with pytest.raises(AitradingError) as caught:
            await w.intake.take(*segment)
        assert caught.value.code in {"DATABASE_CONNECTION_LOST", "DATABASE_COMMIT_UNKNOWN"}
        await w.intake.take(*segment)
        assert await w.counts(alpha, stream) == (50, 50, 1, 50)


@async_test
async def test_a_caller_that_stops_waiting_leaves_no_copy(
    every_world: Any, tenants: Tenants, payload: Payload
) -> None:
    """An insert into ClickHouse goes on in its thread; the next attempt sees its outcome."""
    alpha, _ = tenants
    async with every_world() as w:
        stream = await w.open(alpha)
        rows = 5_000 if w.alone else 20_000
        for attempt, patience_s in enumerate((0.001, 0.005, 0.01, 0.02, 0.04)):
            first = attempt * rows + 1
            segment = w.segment(payload(alpha, stream, first, rows))
            try:
                async with asyncio.timeout(patience_s):
                    await w.intake.take(*segment)
            except TimeoutError:
                await w.intake.take(*segment)
        total = 5 * rows
        assert await w.counts(alpha, stream) == (total, total, 1, total)


@async_test
async def test_a_part_that_never_came_into_place_is_stored_by_the_repeat(
    world: Any, tenants: Tenants, payload: Payload
) -> None:
    """As after a kill between the engine's log of known blocks and the renaming of the part."""
    alpha, _ = tenants
    async with world() as w:
        await w.clickhouse.execute(
            "ALTER TABLE market.ticks MODIFY SETTING non_replicated_deduplication_window = 100"
        )
        stream = await w.open(alpha)
        segment, folder = w.segment(payload(alpha, stream, 1, 50)), w.folder
        faulty = FaultyStore(w.store, "after")
        w.intake._writer = TickWriter(w.pool, faulty, w.guards)
        with pytest.raises(ConnectionResetError):
            await w.intake.take(*segment)
        where = await path_of_the_only_part(w)
    shutil.rmtree(where)
    async with world() as w:
        assert folder == w.folder
        _, outcome = await w.intake.take(*segment)
        assert outcome.inserted == 50
        assert await w.counts(alpha, stream) == (50, 50, 1, 50)


async def path_of_the_only_part(w: Any) -> str:
    rows = await w.clickhouse.select(
        "SELECT toFixedString(path, 512) AS path FROM system.parts"
        " WHERE database = 'market' AND table = 'ticks' AND active",
        np.dtype([("path", "S512")]),
        after_writes=True,
    )
    assert len(rows) == 1
    return rows["path"][0].decode()


@async_test
async def test_two_writers_take_turns(
    every_world: Any, tenants: Tenants, payload: Payload
) -> None:
    alpha, _ = tenants
    async with every_world() as w:
        stream = await w.open(alpha)
        segments = [w.segment(payload(alpha, stream, 1 + 10 * i, 20)) for i in range(8)]
        async with asyncio.TaskGroup() as group:
            for segment in segments:
                group.create_task(w.intake.take(*segment))
        assert await w.counts(alpha, stream) == (90, 90, 1, 90)
