"""The uplink never stops sending in silence, whatever disk and link do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest

from aitrading.client.metatrader_connector import journal as journal_module
from aitrading.client.metatrader_connector.broker_clock import BrokerOffset
from aitrading.client.metatrader_connector.journal import JournalIdentity, Taken, TickJournal
from aitrading.client.metatrader_connector.stream_state import (
    EPOCHS_SPARE,
    STREAMS_MAX,
    TickStream,
)
from aitrading.client.metatrader_connector.uplink import REASON_RESTORED, TickUplink
from aitrading.core.domain.market import TICK_DTYPE, TickArray
from aitrading.core.domain.stream_days import mark_of
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.spool import SpoolLimits
from aitrading.core.kit.ids import DeviceId, SystemIdFactory, TenantId
from aitrading.core.protocol.link.events import (
    Gap,
    HelloReceived,
    StreamsRequested,
    TicksReceived,
)
from aitrading.core.protocol.link.session import (
    ClientProfile,
    ClientSession,
    LinkLimits,
    ServerProfile,
    ServerSession,
    SessionState,
    StreamPosition,
)
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.core.testing.file_keys import some_file_keys
from aitrading.core.testing.manual_clock import ManualClock
from aitrading.core.testing.seeded import SeededRandomness

IDENTITY = JournalIdentity(tenant=TenantId(UUID(int=1)), device=DeviceId(UUID(int=2)))
LIMITS = SpoolLimits(segment_bytes=1_000, segment_age_ms=1_000)
KEYS = some_file_keys()


class Wire:
    """A link without a network: both sessions joined, what arrives is kept and acknowledged."""

    is_writable = True

    def __init__(
        self,
        uplink: TickUplink,
        clock: ManualClock,
        first: StreamPosition = StreamPosition(0, 0),  # noqa: B008 - frozen
        only: str = "",
    ) -> None:
        self._uplink = uplink
        self._first = first
        self._only = only
        self._client = ClientSession(clock, ClientProfile(software="test"))
        self._server = ServerSession(
            clock,
            ServerProfile(tenant=UUID(int=1), device=UUID(int=2), software="test"),
        )
        self.received: list[int] = []
        self.gaps: list[tuple[int, int]] = []
        uplink.link = self
        self._client.start(uplink.declarations())
        self.flush()

    @property
    def session(self) -> ClientSession | None:
        return self._client if self._client.state is SessionState.OPEN else None

    def flush(self) -> None:
        for message in self._client.outgoing():
            for event in self._server.receive(message):
                self._on_server_event(event)
        for message in self._server.outgoing():
            for event in self._client.receive(message):
                self._uplink.on_event(event)

    def _on_server_event(self, event: object) -> None:
        match event:
            case HelloReceived(hello):
                self._server.accept(
                    "s", {one.handle: self._position(one.symbol) for one in hello.streams}
                )
            case StreamsRequested(declarations):
                self._server.grant({one.handle: StreamPosition(0, 0) for one in declarations})
            case TicksReceived(handle, batch, _):
                self.received += batch.array()["event_ms"].tolist()
                self._server.acknowledge(handle, batch.last_sequence)
            case Gap(_, first, last):
                self.gaps.append((first, last))

    def _position(self, symbol: str) -> StreamPosition:
        return self._first if self._only in {"", symbol} else StreamPosition(0, 0)


class Setting:
    def __init__(self, folder: Path, journal: TickJournal, clock: ManualClock) -> None:
        self.folder, self.journal, self.clock = folder, journal, clock
        self.uplink = TickUplink(journal, clock=clock, metrics=Metrics())

    async def open_stream(self, symbol: str = "EURUSD") -> TickStream:
        return await self.journal.open_stream(
            broker="B", login=1, symbol=symbol, digits=5, second=0
        )

    async def take(self, stream: TickStream, count: int = 10) -> None:
        rows = ticks(stream.next_sequence, count)
        taken = Taken(stream=stream, rows=rows, receive_ns=self.clock.now_ns(), broker_offset_s=0)
        await self.journal.append([taken])


def ticks(first: int, count: int) -> TickArray:
    rows = np.zeros(count, TICK_DTYPE)
    rows["event_ms"] = range(first, first + count)
    return rows


@asynccontextmanager
async def setting(folder: Path) -> AsyncIterator[Setting]:
    clock = ManualClock()
    ids = SystemIdFactory(clock, SeededRandomness(1))
    journal = await TickJournal.open(
        folder, identity=IDENTITY, limits=LIMITS, clock=clock, ids=ids, keys=KEYS
    )
    made = Setting(folder, journal, clock)
    await made.uplink.start()
    try:
        yield made
    finally:
        await made.uplink.stop()
        await journal.close()


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)


@async_test
async def test_a_damaged_segment_becomes_a_told_gap_and_the_rest_is_sent(tmp_path: Path) -> None:
    async with setting(tmp_path) as world:
        stream = await world.open_stream()
        for _ in range(9):
            await world.take(stream)
        [first, second, *_] = world.journal.spool.sealed()
        damage(second.path)
        wire = Wire(world.uplink, world.clock)
        await eventually(lambda: 90 in wire.received)
        lost_from = second.first_position * 10 - 9
        lost_to = second.last_position * 10
        assert wire.gaps == [(lost_from, lost_to)]
        expected = [one for one in range(1, 91) if not lost_from <= one <= lost_to]
        assert wire.received == expected
        assert (first.first_position, world.journal.gaps.added) == (1, 1)


@async_test
async def test_damage_in_the_open_segment_pauses_and_goes_on_once_it_is_sealed(
    tmp_path: Path,
) -> None:
    async with setting(tmp_path) as world:
        stream = await world.open_stream()
        await world.take(stream, 2)
        await world.take(stream, 2)  # the newest is in memory; what was before is on the disk
        await asyncio.to_thread(damage, next(iter((tmp_path / "spool").glob("*.seg"))))
        wire = Wire(world.uplink, world.clock)
        await eventually(lambda: world.uplink.state == "DEGRADED")
        await world.clock.advance(2)
        await world.take(stream)
        await eventually(lambda: advanced(world, lambda: 14 in wire.received))
        assert wire.received == list(range(5, 15))
        assert wire.gaps == [(1, 4)]
        await eventually(lambda: world.uplink.state == "HEALTHY")


@pytest.mark.parametrize(
    ("place", "epochs", "received"),
    [
        (50, 1, list(range(51, 61))),
        (45, 2, []),  # what follows is asked of the terminal again, under the later epoch
        (999, 2, []),
    ],
)
@async_test
async def test_numbers_of_another_life_are_not_gone_on_with(
    tmp_path: Path, place: int, epochs: int, received: list[int]
) -> None:
    """The server has 50 ticks; the newest of them is at some place of this journal."""
    async with setting(tmp_path) as world:
        world.journal.offset = BrokerOffset(offset_s=0)
        stream = await world.open_stream()
        for _ in range(6):
            await world.take(stream)
        mark = mark_of(50, ticks(place, 1), 0)
        wire = Wire(world.uplink, world.clock, StreamPosition(50, 50, mark))
        if epochs == 1:
            await eventually(lambda: wire.received == received)
            assert world.journal.gaps.added == 0
            return
        await eventually(lambda: len(world.journal.streams) == 2)
        fresh = world.journal.streams[1]
        assert (fresh.active, fresh.key.epoch > stream.key.epoch) == (True, True)
        told = place == 999
        assert fresh.cursor.last_ms == (60 if told else place)
        await eventually(lambda: world.journal.gaps.added == told)
        if told:
            [gap] = world.journal.gaps.newest
            assert (gap.reason, gap.from_ms, gap.until_ms) == (REASON_RESTORED, 1, 999)
        await eventually(lambda: advanced(world, lambda: len(world.journal.streams) == 1))
        assert wire.received == received


@pytest.mark.parametrize(
    ("newest_ms", "is_decided"),
    [
        (500_000, False),  # the terminal may still give what leads there
        (500, True),  # in this second already, and nothing follows
    ],
)
@async_test
async def test_a_symbol_that_gives_no_ticks_keeps_nothing_of_others(
    tmp_path: Path, newest_ms: int, *, is_decided: bool
) -> None:
    """A restored home whose one symbol is behind the server, and hidden."""
    async with setting(tmp_path) as world:
        world.journal.offset = BrokerOffset(offset_s=0)
        quiet = await world.open_stream("QUIET")
        await world.take(quiet)
        busy = await world.open_stream("BUSY")
        mark = mark_of(500, ticks(newest_ms, 1), 0)
        wire = Wire(world.uplink, world.clock, StreamPosition(500, 500, mark), only="QUIET")
        for _ in range(20):
            await world.take(busy)
        await eventually(lambda: 200 in wire.received)
        if is_decided:
            assert world.uplink.released == 0
            await eventually(lambda: advanced(world, lambda: world.uplink.released >= 20))
        await eventually(lambda: world.uplink.released >= 20)
        await eventually(lambda: advanced(world, lambda: world.journal.spool.first_position > 10))
        assert (world.uplink.pending_ticks, world.uplink.state) == (0, "HEALTHY")
        assert world.journal.gaps.added == is_decided
        assert (world.journal.find(quiet.id) is quiet) == (not is_decided)


@pytest.mark.parametrize("spare", [1, 0])
@async_test
async def test_a_client_with_all_streams_that_it_may_have_can_renew_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spare: int
) -> None:
    async with setting(tmp_path) as world:
        world.journal.offset = BrokerOffset(offset_s=0)
        one, two = await world.open_stream("EURUSD"), await world.open_stream("GBPUSD")
        monkeypatch.setattr(journal_module, "STREAMS_MAX", 2)
        monkeypatch.setattr(journal_module, "EPOCHS_SPARE", spare)
        for _ in range(6):
            await world.take(one)
            await world.take(two)
        mark = mark_of(50, ticks(45, 1), 0)
        wire = Wire(world.uplink, world.clock, StreamPosition(50, 50, mark), only="EURUSD")
        await eventually(lambda: wire.received == list(range(1, 61)))
        await eventually(lambda: advanced(world, lambda: world.journal.active(*one.place)))
        fresh = world.journal.active(*one.place)
        assert fresh is not None
        assert (fresh.key.epoch > one.key.epoch, fresh.cursor.last_ms) == (True, 45)
        await eventually(lambda: advanced(world, lambda: len(world.journal.streams) == 2))
        assert world.journal.streams == (two, fresh)
        await eventually(lambda: world.uplink.state == "HEALTHY")
        assert world.journal.gaps.added == 0


@async_test
async def test_what_a_forgotten_epoch_left_behind_is_not_lost_once_more(tmp_path: Path) -> None:
    async with setting(tmp_path) as world:
        stream = await world.open_stream()
        await world.take(stream)
        world.uplink.declarations()
        world.uplink._refuse(stream.declaration(1), "LINK_LIMIT_EXCEEDED")
        await eventually(lambda: world.journal.gaps.added == 1)
        await world.journal.forget_stream(stream)
        other = await world.open_stream("GBPUSD")
        await world.take(other)
        wire = Wire(world.uplink, world.clock)
        await eventually(lambda: wire.received == list(range(1, 11)))
        await eventually(lambda: world.uplink.released == 2)
        assert world.journal.gaps.added == 1


def test_a_link_has_room_for_all_streams_and_later_epochs() -> None:
    assert LinkLimits().streams_max >= STREAMS_MAX + EPOCHS_SPARE


@async_test
async def test_a_full_disk_does_not_end_the_forgetting(tmp_path: Path) -> None:
    async with setting(tmp_path) as world:
        stream = await world.open_stream()
        wire = Wire(world.uplink, world.clock)
        for _ in range(9):
            await world.take(stream)
        await eventually(lambda: 90 in wire.received)
        state = tmp_path / "streams.json"
        await asyncio.to_thread(state.unlink)
        await asyncio.to_thread((state / "in-the-way").mkdir, parents=True)
        await world.clock.advance(3)
        assert world.journal.spool.first_position == 1
        await asyncio.to_thread((state / "in-the-way").rmdir)
        await asyncio.to_thread(state.rmdir)
        await eventually(lambda: advanced(world, lambda: world.journal.spool.first_position > 1))


@async_test
async def test_sequences_go_on_after_everything_was_sent_and_forgotten(tmp_path: Path) -> None:
    for round_ in range(3):
        async with setting(tmp_path) as world:
            stream = (world.journal.streams or (await world.open_stream(),))[0]
            assert stream.next_sequence == round_ * 10 + 1
            await world.take(stream)
            await world.journal.spool.seal()
            await world.journal.spool.delete_through(world.journal.spool.durable_position)


async def advanced(world: Setting, condition: object) -> bool:
    await world.clock.advance(1)
    return condition()
