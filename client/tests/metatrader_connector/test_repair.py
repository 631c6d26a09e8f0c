"""What the server lacks is fetched again from the terminal's history, and never one tick twice."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import numpy as np
import pytest

from aitrading.client.metatrader_connector.broker_clock import BrokerOffset
from aitrading.client.metatrader_connector.journal import JournalIdentity, TickJournal
from aitrading.client.metatrader_connector.journal_records import Taken
from aitrading.client.metatrader_connector.repairer import Repairer
from aitrading.client.metatrader_connector.rows import to_rows
from aitrading.client.metatrader_connector.stream_state import TickStream
from aitrading.client.metatrader_connector.uplink import TickUplink
from aitrading.client.terminal.api.arrays import TICKS_DTYPE, TickRows
from aitrading.client.testing.terminal_here import TerminalHere
from aitrading.core.domain.stream_days import DayTotal, days_of
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.spool import SpoolLimits
from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.ids import DeviceId, SystemIdFactory, TenantId
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.protocol.link.messages import Repair, RepairDone
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.file_keys import some_file_keys

CLOCK = SystemClock()
IDENTITY = JournalIdentity(tenant=TenantId(UUID(int=1)), device=DeviceId(UUID(int=2)))
KEYS = some_file_keys()
OFFSET_S = 7_200
START_MS = 1_700_000_000_000
"""UTC; the terminal shows two hours more."""
GAP = UUID(int=77)


class History:
    """A terminal that remembers: some ticks share a millisecond, some even every field."""

    def __init__(self, count: int) -> None:
        self.ticks = np.zeros(count, TICKS_DTYPE)
        self.ticks["time_msc"] = START_MS + OFFSET_S * 1_000 + np.arange(count) // 3 * 100
        self.ticks["time"] = self.ticks["time_msc"] // 1_000
        self.ticks["bid"] = 1 + np.arange(count) // 2 / 100_000
        self.ticks["flags"] = 2

    def copy_ticks_from(
        self, symbol: str, date_from: int, count: int, flags: int, /
    ) -> TickRows | None:
        del symbol, flags
        return self.ticks[self.ticks["time_msc"] >= date_from * 1_000][:count]

    def last_error(self) -> tuple[int, str]:
        return 1, "Success"

    def rows(self, low: int, high: int) -> Any:
        return to_rows(self.ticks[low:high], 5).rows


class Setting:
    def __init__(self, folder: Path, terminal: History) -> None:
        self.folder, self.terminal = folder, terminal

    async def open(self) -> "Setting":
        ids = SystemIdFactory(CLOCK, SystemRandomness())
        self.journal = await TickJournal.open(
            self.folder, identity=IDENTITY, limits=SpoolLimits(), clock=CLOCK, ids=ids, keys=KEYS
        )
        terminal = TerminalHere(self.terminal)  # type: ignore[arg-type]
        uplink = TickUplink(self.journal, clock=CLOCK, metrics=Metrics())
        self.repairer = Repairer(terminal, self.journal, uplink, CLOCK)
        self.journal.offset = BrokerOffset(offset_s=OFFSET_S)
        return self

    async def crash(self) -> "Setting":
        await self.journal.spool.close()
        return await self.open()

    async def stream(self) -> TickStream:
        return self.journal.streams[0] if self.journal.streams else (
            await self.journal.open_stream(
                broker="B", login=1, symbol="EURUSD", digits=5, second=START_MS // 1_000 + OFFSET_S
            )
        )  # fmt: skip

    async def take(self, low: int, high: int) -> None:
        part = Taken(
            stream=await self.stream(), rows=self.terminal.rows(low, high), receive_ns=1,
            broker_offset_s=OFFSET_S,
        )  # fmt: skip
        await self.journal.append([part])

    async def stored(self) -> list[bytes]:
        found: list[bytes] = []
        position = 0
        while entries := await self.journal.read(position, 1 << 20):
            for entry in entries:
                data = bytes(entry.batch.rows)
                found += [data[at : at + 24] for at in range(0, len(data), 24)]
            position = entries[-1].position + 1
        return found

    def order(self, low: int, high: int, **changes: int) -> Repair:
        """The server has [0, low) and [high, end) of the terminal's ticks."""
        times = self.terminal.ticks["time_msc"]
        asked = {
            "from_ms": int(times[low - 1]) - OFFSET_S * 1_000,
            "until_ms": int(times[high]) - OFFSET_S * 1_000,
            "has_first": int(np.count_nonzero(times[:low] == times[low - 1])),
            "has_last": int(np.count_nonzero(times[high:] == times[high])),
            "expected": high - low,
        }
        return Repair(gap=GAP, handle=1, **(asked | changes))


@asynccontextmanager
async def setting(folder: Path, count: int = 300) -> AsyncIterator[Setting]:
    made = await Setting(folder, History(count)).open()
    try:
        yield made
    finally:
        await made.journal.close()


@pytest.mark.parametrize(
    ("low", "high"), [(100, 200), (101, 103), (1, 299), (149, 151), (99, 102)]
)
@async_test
async def test_exactly_what_is_missing_is_fetched(home: Path, low: int, high: int) -> None:
    async with setting(home) as world:
        await world.take(0, low)
        await world.take(high, 300)
        before = (await world.stream()).cursor
        done = await world.repairer.repair(world.order(low, high), await world.stream())
        taken = 300 - (high - low)
        assert done == RepairDone(
            gap=GAP, stream=(await world.stream()).id, first=taken + 1, last=300
        )
        everything = world.terminal.rows(0, 300)
        assert sorted(await world.stored()) == sorted(bytes(row) for row in everything)
        assert (await world.stream()).cursor == before  # new ticks are asked for where they were


@async_test
async def test_what_is_fetched_again_shares_no_number_with_what_arrives(home: Path) -> None:
    async with setting(home) as world:
        await world.take(0, 100)
        stream = await world.stream()
        part = Taken(
            stream=stream, rows=world.terminal.rows(50, 80), receive_ns=1, broker_offset_s=OFFSET_S
        )
        async with asyncio.TaskGroup() as group:
            for low in (100, 150):
                group.create_task(world.take(low, low + 50))
                group.create_task(world.journal.append_history(part, GAP))
        batches = [entry.batch for entry in await world.journal.read(0, 1 << 20)]
        numbers = [n for one in batches for n in range(one.first_sequence, one.last_sequence + 1)]
        assert numbers == [*range(1, 100 + 2 * 50 + 2 * 30 + 1)]


@async_test
async def test_asked_again_and_after_a_crash_nothing_is_doubled(home: Path) -> None:
    async with setting(home) as world:
        await world.take(0, 100)
        await world.take(200, 300)
        order = world.order(100, 200)
        first = await world.repairer.repair(order, await world.stream())
        assert await world.repairer.repair(order, await world.stream()) == first
        await world.crash()
        stream = await world.stream()
        assert stream.next_sequence == 301
        assert await world.repairer.repair(order, stream) == first
        fresh = await world.journal.reopen_stream(stream, 5)
        assert await world.repairer.repair(order, fresh) == first
        assert len(await world.stored()) == 300
        expected = days_of(1, world.terminal.rows(0, 100), OFFSET_S)
        assert sum(total.ticks for total in stream.days.values()) == 300
        assert expected.keys() <= stream.days.keys()
        assert isinstance(next(iter(stream.days.values())), DayTotal)


@async_test
async def test_a_crash_between_two_appends_goes_on_where_it_stopped(home: Path) -> None:
    async with setting(home) as world:
        await world.take(0, 100)
        await world.take(200, 300)
        stream = await world.stream()
        part = Taken(
            stream=stream, rows=world.terminal.rows(100, 140), receive_ns=1,
            broker_offset_s=OFFSET_S,
        )  # fmt: skip
        await world.journal.append_history(part, GAP)
        await world.crash()
        done = await world.repairer.repair(world.order(100, 200), await world.stream())
        assert (done.first, done.last) == (201, 300)
        everything = world.terminal.rows(0, 300)
        assert sorted(await world.stored()) == sorted(bytes(row) for row in everything)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"expected": 99}, "has 100 ticks where 99 are missing"),
        ({"has_first": 50}, "does not hold what is stored"),
        ({"has_last": 50}, "does not hold what is stored"),
        ({"from_ms": 5, "has_first": 1}, "does not hold what is stored"),
    ],
)
@async_test
async def test_a_history_that_does_not_fit_is_refused(
    home: Path, changes: dict[str, int], told: str
) -> None:
    async with setting(home) as world:
        await world.take(0, 100)
        done = await world.repairer.repair(world.order(100, 200, **changes), await world.stream())
        assert told in done.problem
        assert len(await world.stored()) == 100


@async_test
async def test_of_two_gaps_of_one_time_only_the_first_is_fetched(home: Path) -> None:
    """Both were asked for when the server had none of these ticks."""
    async with setting(home) as world:
        await world.take(0, 100)
        await world.take(200, 300)
        stream, other = await world.stream(), UUID(int=78)
        order = world.order(100, 200, expected=0)
        later = msgspec.structs.replace(world.order(100, 200), gap=other)
        first = await world.repairer.repair(order, stream)
        for asked in (msgspec.structs.replace(order, gap=other), later):
            again = await world.repairer.repair(asked, stream)
            assert again.problem == "ticks of that time were fetched for another gap"
        assert await world.repairer.repair(order, stream) == first
        everything = world.terminal.rows(0, 300)
        assert sorted(await world.stored()) == sorted(bytes(row) for row in everything)


@async_test
async def test_neighbouring_gaps_are_both_fetched(home: Path) -> None:
    async with setting(home) as world:
        for low, high in ((0, 100), (150, 151), (200, 300)):
            await world.take(low, high)
        stream = await world.stream()
        for number, (low, high) in enumerate(((100, 150), (151, 200))):
            asked = msgspec.structs.replace(world.order(low, high), gap=UUID(int=number + 1))
            assert not (await world.repairer.repair(asked, stream)).problem
        everything = world.terminal.rows(0, 300)
        assert sorted(await world.stored()) == sorted(bytes(row) for row in everything)


@async_test
async def test_a_long_gap_is_asked_in_pieces(home: Path) -> None:
    async with setting(home, count=50_000) as world:
        await world.take(0, 10)
        await world.take(49_990, 50_000)
        done = await world.repairer.repair(world.order(10, 49_990), await world.stream())
        assert done.last - done.first + 1 == 49_980
        assert len(await world.stored()) == 50_000


SPRING_MS, AUTUMN_MS = 1_772_953_200_000, 1_793_512_800_000
"""2026: New York's clocks, and those of brokers that follow them, go ahead and back."""
MINUTE_MS = 60_000


@pytest.mark.parametrize(
    ("night_ms", "offset", "quiet"),
    [
        (SPRING_MS, BrokerOffset(offset_s=10_800, before_s=7_200, since_ms=SPRING_MS), False),
        (AUTUMN_MS, BrokerOffset(offset_s=7_200, before_s=10_800, since_ms=AUTUMN_MS), True),
        (AUTUMN_MS, BrokerOffset(offset_s=7_200, before_s=10_800, since_ms=AUTUMN_MS), False),
    ],
    ids=["ahead", "back, and nobody trades", "back, while a market trades"],
)
@async_test
async def test_a_gap_over_a_night_of_changing_clocks_gets_the_times_that_were(
    home: Path, night_ms: int, offset: BrokerOffset, *, quiet: bool
) -> None:
    """Each tick with the offset of its own moment; of an hour that comes twice, none."""
    minutes = np.arange(-180, 180) * MINUTE_MS
    if quiet:
        minutes = minutes[(minutes < -60 * MINUTE_MS) | (minutes >= 60 * MINUTE_MS)]
    utc_ms = night_ms + minutes
    async with setting(home, len(utc_ms)) as world:
        world.journal.offset = offset
        offsets = np.array([offset.at(one) for one in utc_ms.tolist()])
        shown = utc_ms + offsets * 1_000
        world.terminal.ticks["time_msc"] = np.sort(shown)
        ends = (0, 20), (len(utc_ms) - 20, len(utc_ms))
        for low, high in ends:
            part = Taken(
                stream=await world.stream(), rows=world.terminal.rows(low, high), receive_ns=1,
                broker_offset_s=int(offsets[low]),
            )  # fmt: skip
            await world.journal.append([part])
        order = Repair(
            gap=GAP, handle=1, from_ms=int(utc_ms[19]), until_ms=int(utc_ms[-20]),
            has_first=1, has_last=1, expected=len(utc_ms) - 40,
        )  # fmt: skip
        done = await world.repairer.repair(order, await world.stream())
        found = sorted(
            moment
            for one in await world.journal.read(0, 1 << 20)
            for moment in (
                one.batch.array()["event_ms"] - one.batch.broker_offset_s * 1_000
            ).tolist()
        )
        if night_ms == AUTUMN_MS and not quiet:
            assert "showed that hour twice" in done.problem
            assert len(found) == 40
        else:
            assert done.problem == ""
            assert found == utc_ms.tolist()


@async_test
async def test_a_gap_from_before_the_last_change_but_one_is_refused(home: Path) -> None:
    async with setting(home) as world:
        await world.take(0, 100)
        since_ms = SPRING_MS
        world.journal.offset = BrokerOffset(offset_s=10_800, before_s=OFFSET_S, since_ms=since_ms)
        done = await world.repairer.repair(world.order(100, 200), await world.stream())
        assert "nobody knows how far" in done.problem
        assert len(await world.stored()) == 100
