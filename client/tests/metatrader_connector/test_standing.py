"""Numbers are used again only when they mean the same ticks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest

from aitrading.client.metatrader_connector.broker_clock import BrokerOffset
from aitrading.client.metatrader_connector.journal import JournalIdentity, TickJournal
from aitrading.client.metatrader_connector.journal_records import Taken
from aitrading.client.metatrader_connector.standing import (
    HELD_MAX_S,
    Standing,
    Standings,
    Verdict,
)
from aitrading.client.metatrader_connector.stream_state import TickStream
from aitrading.core.domain.market import TICK_DTYPE, TickArray
from aitrading.core.domain.stream_days import mark_of
from aitrading.core.infrastructure.spool import SpoolLimits
from aitrading.core.kit.ids import DeviceId, SystemIdFactory, TenantId
from aitrading.core.protocol.link.messages import StreamGrant
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.file_keys import some_file_keys
from aitrading.core.testing.manual_clock import ManualClock
from aitrading.core.testing.seeded import SeededRandomness

IDENTITY = JournalIdentity(tenant=TenantId(UUID(int=1)), device=DeviceId(UUID(int=2)))
OFFSET_S = 7_200
START_MS = 1_700_000_000_000
HANDLE = 7


def history(count: int = 40) -> TickArray:
    """Ten ticks a second; the two of each pair that begins with an even place are alike."""
    rows = np.zeros(count, TICK_DTYPE)
    rows["event_ms"] = START_MS + np.arange(count) // 2 * 200
    rows["bid"] = np.arange(count) // 2
    rows["ask"] = rows["bid"] + np.where(np.arange(count) // 2 % 2, np.arange(count) % 2, 0)
    return rows


class World:
    """A journal with some of the history in it."""

    def __init__(self, journal: TickJournal, stream: TickStream, clock: ManualClock) -> None:
        self.journal, self.stream, self.clock = journal, stream, clock
        self.standings = Standings(journal, clock)
        journal.offset = BrokerOffset(offset_s=OFFSET_S)

    async def take(self, first: int, last: int) -> None:
        """Store the ticks of the history with these places, from 1 on."""
        for at in range(first - 1, last, 7):
            rows = history()[at : min(at + 7, last)]
            taken = Taken(stream=self.stream, rows=rows, receive_ns=0, broker_offset_s=OFFSET_S)
            await self.journal.append([taken])

    async def judged(
        self, sequence: int, place: int, *, is_ahead: bool = False
    ) -> tuple[Standing, Verdict] | None:
        """The verdict when the server's newest tick is that of a place of the history."""
        row = history(100)[place - 1 : place]
        mark = mark_of(sequence, row, OFFSET_S)
        grant = StreamGrant(
            handle=HANDLE,
            durable_sequence=sequence,
            durable_ms=mark.utc_ms,
            durable_digest=mark.digest,
        )
        assert self.standings.add(self.stream, HANDLE, grant, is_ahead=is_ahead)
        found = await self.standings.judge(1)
        return found[0] if found else None


@asynccontextmanager
async def world_of(folder: Path, ticks: int) -> AsyncIterator[World]:
    clock = ManualClock()
    journal = await TickJournal.open(
        folder,
        identity=IDENTITY,
        limits=SpoolLimits(segment_bytes=1_000),
        clock=clock,
        ids=SystemIdFactory(clock, SeededRandomness(1)),
        keys=some_file_keys(),
    )
    try:
        stream = await journal.open_stream(
            broker="B", login=1, symbol="EURUSD", digits=5, second=START_MS // 1_000
        )
        made = World(journal, stream, clock)
        await made.take(1, ticks)
        yield made
    finally:
        await journal.close()


@pytest.mark.parametrize(
    ("sequence", "place", "verdict"),
    [
        (20, 20, Verdict.GOES_ON),
        (30, 30, Verdict.GOES_ON),
        (21, 20, Verdict.MOVED),  # the other life had one tick more before it, of a repair
        (19, 20, Verdict.MOVED),
        (20, 18, Verdict.LOST),  # two ticks here are like it
        (20, 90, Verdict.LOST),
    ],
)
@async_test
async def test_the_servers_newest_tick_must_have_its_number_here(
    tmp_path: Path, sequence: int, place: int, verdict: Verdict
) -> None:
    async with world_of(tmp_path, 30) as world:
        judged = await world.judged(sequence, place)
        assert judged is not None
        standing, found = judged
        assert found is verdict
        if verdict is Verdict.MOVED:
            assert standing.behind is not None
            second = standing.behind.second * 1_000
            rows = history()[history()["event_ms"] >= second]
            fresh = standing.behind.fresh(rows)
            assert fresh is not None
            assert fresh.tobytes() == history()[place:].tobytes()


@async_test
async def test_a_journal_that_is_behind_is_filled_first(tmp_path: Path) -> None:
    async with world_of(tmp_path, 10) as world:
        assert await world.judged(20, 20, is_ahead=True) is None
        await world.take(11, 19)
        assert await world.standings.judge(1) == []
        await world.take(20, 25)
        [(_, verdict)] = await world.standings.judge(1)
        assert verdict is Verdict.GOES_ON


@async_test
async def test_a_history_that_goes_past_it_is_no_reason_to_wait_on(tmp_path: Path) -> None:
    async with world_of(tmp_path, 10) as world:
        assert await world.judged(35, 20, is_ahead=True) is None
        await world.take(11, 25)
        [(standing, verdict)] = await world.standings.judge(1)
        assert verdict is Verdict.MOVED
        assert standing.behind is not None


@async_test
async def test_what_ends_before_the_second_of_the_servers_newest_tick_is_needed_by_no_verdict(
    tmp_path: Path,
) -> None:
    async with world_of(tmp_path, 10) as world:
        assert await world.judged(31, 28, is_ahead=True) is None
        await world.take(11, 28)
        needed, position = list[int](), 1
        while entries := await world.journal.read(position, 1 << 20):
            position = entries[-1].position + 1
            batches = [entry.batch for entry in entries]
            needed += [one.first_sequence for one in batches if not world.standings.passes(one)]
        assert needed == [18, 25], "the second begins with the 21st"
        await world.clock.advance(HELD_MAX_S - 1)
        assert await world.standings.judge(1) == [], "more ticks of that moment may come"
        world.standings.clear()
        assert await world.judged(31, 28, is_ahead=True) is None
        await world.clock.advance(1)
        [(standing, verdict)] = await world.standings.judge(4)
        assert (verdict, standing.begins_ms) == (Verdict.MOVED, START_MS - OFFSET_S * 1_000)
        assert standing.behind is not None
        assert (standing.behind.taken, standing.behind.last_ms) == (8, START_MS + 2_600)


@async_test
async def test_what_was_released_was_acknowledged_to_this_life(tmp_path: Path) -> None:
    async with world_of(tmp_path, 30) as world:
        await world.journal.spool.seal()
        first = world.journal.spool.sealed()[1]
        await world.journal.spool.delete_through(first.last_position)
        judged = await world.judged(3, 90)
        assert judged is not None
        assert judged[1] is Verdict.GOES_ON


@async_test
async def test_a_server_that_does_not_tell_its_newest_tick_is_believed_unless_it_is_ahead(
    tmp_path: Path,
) -> None:
    async with world_of(tmp_path, 30) as world:
        for is_ahead, expected in ((False, Verdict.GOES_ON), (True, Verdict.LOST)):
            grant = StreamGrant(handle=HANDLE, durable_sequence=20 + 20 * is_ahead)
            assert world.standings.add(world.stream, HANDLE, grant, is_ahead=is_ahead)
            [(_, verdict)] = await world.standings.judge(1)
            assert verdict is expected


@async_test
async def test_an_epoch_that_ended_is_not_begun_again(tmp_path: Path) -> None:
    async with world_of(tmp_path, 30) as world:
        await world.journal.reopen_stream(world.stream, 5)
        judged = await world.judged(21, 20)
        assert judged is not None
        assert judged[1] is Verdict.LOST


@async_test
async def test_a_verdict_holds_until_the_server_has_more_than_it_said(tmp_path: Path) -> None:
    async with world_of(tmp_path, 30) as world:
        judged = await world.judged(20, 20)
        assert judged is not None
        world.standings.settle(judged[0])
        world.standings.prove(world.stream.id, 20)
        grant = StreamGrant(handle=HANDLE, durable_sequence=20)
        assert not world.standings.add(world.stream, HANDLE, grant, is_ahead=False)
        assert not world.standings.is_waiting
        judged = await world.judged(25, 24)
        assert judged is not None
        assert judged[1] is Verdict.LOST, "what this run numbered is another client's now"
