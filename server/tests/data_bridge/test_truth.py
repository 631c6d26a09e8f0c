"""Counts, gaps and outages reach the database service, and orders to repair reach the device."""

import asyncio
from uuid import UUID

import msgspec
import pytest

from aitrading.core.domain.market import make_batch
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.protocol.link.events import RepairAsked, StreamOpened
from aitrading.core.protocol.link.messages import (
    DAY_MAX,
    Days,
    DaySummary,
    FeedNote,
    GapNote,
    Gaps,
    RepairDone,
)
from aitrading.core.security.certificates import DeviceIdentity
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.server.data_bridge import truth as truth_module
from aitrading.server.data_bridge.quotes import QuoteBoard
from aitrading.server.data_bridge.streams import StreamDirectory
from aitrading.server.data_bridge.truth import WAITING_MAX, TruthKeeper
from aitrading.server.kit.database_errors import DATABASE_REJECTED, DATABASE_VALUE_REFUSED
from aitrading.server.kit.feed_truth_api import (
    CALENDAR_MS,
    REASON_CHARS_MAX,
    FeedTruth,
    GapTold,
    RepairOrder,
    RepairOrders,
    RepairTold,
    TruthTaken,
)
from aitrading.server.kit.peer_errors import PEER_UNREACHABLE
from aitrading.server.testing.bridge import RunningBridge, running_bridge
from aitrading.server.testing.probe_device import OFFSET_S, Device, declared, ticks
from aitrading.server.testing.services import ServiceWorld

QUICK = {"feed.delayed_after_s": "1", "feed.stale_after_s": "2", "feed.dead_after_s": "30"}


def gaps_of(bridge: RunningBridge) -> list[GapTold]:
    return [gap for truth in bridge.store.truths for gap in truth.gaps]


@async_test
async def test_what_a_device_says_is_passed_on_once_it_can_be(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    async with running_bridge(world) as bridge:
        bridge.devices.add(identity)
        device = Device(identity)
        await device.open(bridge.socket, declared())
        device.send(ticks(3))
        await device.until_acknowledged(3)
        [stream] = [one.id for one in await bridge.get(StreamDirectory)]
        bridge.store.failure = PEER_UNREACHABLE.error(peer="database-service", reason="test")
        summary = DaySummary(handle=1, day=20_000, ticks=3, digest="a" * 32, last_sequence=3)
        device.session.tell_days(Days(days=(summary,)))
        note = GapNote(stream=stream, reason="lost", noticed_ns=5, first=7, last=9)
        done = RepairDone(gap=UUID(int=4), stream=stream, first=1, last=2)
        device.session.tell_gaps(Gaps(gaps=(note,), repaired=(done,)))
        device.flush()
        calls = bridge.store.calls
        await eventually(lambda: bridge.store.calls > calls + 1)
        bridge.store.failure = None
        await eventually(lambda: bridge.store.truths)
        [truth] = bridge.store.truths
        assert (truth.tenant, truth.device) == (identity.tenant, identity.device)
        assert [(one.stream, one.ticks, one.digest) for one in truth.days] == [
            (stream, 3, "a" * 32)
        ]
        assert [(one.first, one.last, one.recorded_by) for one in truth.gaps] == [(7, 9, "device")]
        assert truth.repairs == (RepairTold(gap=UUID(int=4), stream=stream, first=1, last=2),)


@async_test
async def test_why_a_feed_is_silent_is_said_until_it_is_not_or_the_link_is_gone(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    async with running_bridge(world) as bridge:
        bridge.devices.add(identity)
        device = Device(identity)
        await device.open(bridge.socket, declared())
        [stream] = list(await bridge.get(StreamDirectory))
        for why in ("hidden in Market Watch", ""):
            notes = (FeedNote(handle=1, why=why), FeedNote(handle=99, why="of nobody"))
            device.session.tell_gaps(Gaps(feeds=notes))
            device.flush()
            await eventually(lambda why=why: stream.why_silent == why)
        device.session.tell_gaps(Gaps(feeds=(FeedNote(handle=1, why="w" * 500),)))
        device.flush()
        await eventually(lambda: stream.why_silent == "w" * REASON_CHARS_MAX)
        again = Device(identity)
        await again.open(bridge.socket, declared())
        await eventually(lambda: not stream.why_silent)


@async_test
async def test_a_device_that_invents_gaps_fills_no_more_than_its_place(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    async with running_bridge(world) as bridge:
        bridge.devices.add(identity)
        device = Device(identity)
        await device.open(bridge.socket, declared())
        [stream] = [one.id for one in await bridge.get(StreamDirectory)]
        bridge.store.failure = PEER_UNREACHABLE.error(peer="database-service", reason="test")
        for start in range(0, WAITING_MAX + 300, 50):
            notes = tuple(
                GapNote(stream=stream, reason="lost", noticed_ns=5, first=1 + n, last=1 + n)
                for n in range(start, start + 50)
            )
            device.session.tell_gaps(Gaps(gaps=notes))
        device.flush()
        await device.until_acknowledged(device.send(ticks(1)))  # all of them were read
        keeper = await bridge.get(TruthKeeper)
        await eventually(lambda: keeper.waiting == WAITING_MAX)


@async_test
async def test_a_devices_odd_words_are_told_as_the_database_keeps_them_or_not_at_all(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    async with running_bridge(world) as bridge:
        bridge.devices.add(identity)
        device = Device(identity)
        await device.open(bridge.socket, declared())
        [stream] = list(await bridge.get(StreamDirectory))
        days = [
            DaySummary(handle=1, day=day, ticks=3, digest="a" * 32, last_sequence=3)
            for day in (-1, 20_000, DAY_MAX + 1)
        ]
        device.session.tell_days(Days(days=tuple(days)))
        note = GapNote(stream=stream.id, reason="a\x00b", noticed_ns=5)
        ends: tuple[dict[str, int], ...] = (
            {"first": 7, "last": (1 << 63) - 1},
            {"from_ms": CALENDAR_MS},
            {"from_ms": -5, "until_ms": 9},
            {"first": 7, "last": 9, "until_ms": CALENDAR_MS},
            {"first": 9, "last": 7, "from_ms": 4, "until_ms": -1},
        )
        notes = tuple(msgspec.structs.replace(note, **each) for each in ends)
        repairs = tuple(
            RepairDone(gap=UUID(int=last), stream=stream.id, first=1, last=last, problem="\x00")
            for last in (4, (1 << 63) - 1)
        )
        feeds = (FeedNote(handle=1, why="hid\x00den"),)
        device.session.tell_gaps(Gaps(gaps=notes, repaired=repairs, feeds=feeds))
        device.flush()
        await eventually(lambda: bridge.store.truths)
        [truth] = bridge.store.truths
        assert [day.day for day in truth.days] == [20_000]
        assert [(gap.reason, gap.first, gap.from_ms, gap.until_ms) for gap in truth.gaps] == [
            ("a?b", 7, None, None), ("a?b", None, 4, None),
        ]  # fmt: skip
        assert [(one.last, one.problem) for one in truth.repairs] == [(4, "?")]
        assert stream.why_silent == "hid?den"


@async_test
async def test_words_that_the_database_cannot_take_hold_up_nobody_and_are_let_go(
    world: ServiceWorld,
    identity: DeviceIdentity,
    stranger: DeviceIdentity,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(truth_module, "ROUND_S", 0.01)
    refused: list[UUID] = []
    failure = DATABASE_REJECTED.error(sqlstate="42703")

    async with running_bridge(world) as bridge:
        take = bridge.store.tell_truth

        async def tell_truth(truth: FeedTruth) -> TruthTaken:
            if truth.device == identity.device:
                refused.append(truth.device)
                raise failure
            return await take(truth)

        monkeypatch.setattr(bridge.store, "tell_truth", tell_truth)
        keeper = await bridge.get(TruthKeeper)

        async def say(who: DeviceIdentity) -> None:
            bridge.devices.add(who)
            device = Device(who)
            await device.open(bridge.socket, declared())
            note = GapNote(stream=UUID(int=3), reason="lost", noticed_ns=5, first=7, last=9)
            device.session.tell_gaps(Gaps(gaps=(note,)))
            device.flush()

        await say(identity)
        await eventually(lambda: refused)
        await say(stranger)
        await eventually(lambda: bridge.store.truths, what="the word of the other device")
        await eventually(lambda: not keeper.waiting, what="the end of what cannot be taken")
        assert len(refused) == truth_module.REFUSALS_MAX
        failure = DATABASE_VALUE_REFUSED.error(sqlstate="22003")
        await say(identity)
        await eventually(lambda: len(refused) > truth_module.REFUSALS_MAX)
        await eventually(lambda: not keeper.waiting)
        assert len(refused) == truth_module.REFUSALS_MAX + 1, (
            "said once: no repeat makes it better"
        )
        assert keeper.state is ComponentState.HEALTHY


@async_test
async def test_an_outage_is_a_gap_that_ends_with_what_came_after_it(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    async with running_bridge(world, settings=QUICK) as bridge:
        bridge.devices.add(identity)
        device = Device(identity)
        await device.open(bridge.socket, declared(symbol="BTCUSD"))
        device.send(ticks(4))
        await eventually(lambda: gaps_of(bridge), what="the gap")
        [begun] = gaps_of(bridge)
        assert (begun.until_ms, begun.repair_last, begun.recorded_by) == (None, None, "bridge")
        assert "STALE" in begun.reason
        device.send(ticks(6, first=5))
        # The feed is silent again after it: the next gap may be told at once.
        await eventually(lambda: len(gaps_of(bridge)) > 1, what="its end")
        ended = gaps_of(bridge)[1]
        assert ended.id == begun.id
        assert (ended.repair_first, ended.repair_last) == (5, 10)
        assert ended.until_ms is not None


@async_test
async def test_gaps_are_told_while_it_takes_long_to_find_what_can_be_repaired(
    world: ServiceWorld, identity: DeviceIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()

    async def slow(_: DeviceIdentity) -> RepairOrders:
        asked.set()
        return await asyncio.get_running_loop().create_future()

    async with running_bridge(world) as bridge:
        monkeypatch.setattr(bridge.store, "repairs", slow)
        bridge.devices.add(identity)
        device = Device(identity)
        await device.open(bridge.socket, declared())
        await asked.wait()
        [stream] = [one.id for one in await bridge.get(StreamDirectory)]
        note = GapNote(stream=stream, reason="lost", noticed_ns=5, first=1, last=2)
        device.session.tell_gaps(Gaps(gaps=(note,)))
        device.flush()
        await eventually(lambda: gaps_of(bridge), what="the gap")


@async_test
async def test_a_device_is_asked_for_what_is_missing_and_history_is_no_news(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    async with running_bridge(world) as bridge:
        bridge.devices.add(identity)
        order = RepairOrder(
            gap=UUID(int=9), stream=UUID(int=8), symbol="EURUSD", broker="Simulated-Demo",
            from_ms=1_000, until_ms=2_000, has_first=1, has_last=2, expected=3,
        )  # fmt: skip
        bridge.store.orders = [order, msgspec.structs.replace(order, symbol="NOBODYS")]
        device = Device(identity)
        await device.open(bridge.socket, declared())
        device.send(ticks(2))
        await eventually(lambda: device.of(RepairAsked))
        assert {one.repair.gap for one in device.of(RepairAsked)} == {order.gap}
        asked = device.of(RepairAsked)[0].repair
        assert (asked.handle, asked.expected, asked.has_last) == (1, 3, 2)
        old = make_batch(
            UUID(int=1), 3, ticks(5, age_ms=3_600_000), receive_ns=0, broker_offset_s=OFFSET_S
        )
        device.session.send_ticks(1, msgspec.structs.replace(old, is_history=True))
        device.flush()
        await device.until_acknowledged(7)
        assert len(device.of(StreamOpened)) == 1
        [source] = (await bridge.get(QuoteBoard)).of_tenant(identity.tenant)
        assert source.sequence == 2


@async_test
async def test_a_gap_of_a_symbol_that_is_not_fed_any_more_is_answered(
    world: ServiceWorld, identity: DeviceIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(truth_module, "ASK_S", 0.05)
    async with running_bridge(world) as bridge:
        bridge.devices.add(identity)
        order = RepairOrder(
            gap=UUID(int=9), stream=UUID(int=8), symbol="NOBODYS", broker="Simulated-Demo",
            from_ms=1_000, until_ms=2_000, has_first=1, has_last=2, expected=3,
        )  # fmt: skip
        bridge.store.orders = [order]
        device = Device(identity)
        await device.open(bridge.socket, declared())

        def answered() -> set[tuple[UUID, UUID, str]]:
            said = [done for truth in bridge.store.truths for done in truth.repairs]
            return {(one.gap, one.stream, one.problem) for one in said}

        await eventually(answered, what="the answer")
        why = "its device does not feed the symbol now"
        assert answered() == {(order.gap, order.stream, why)}
        assert device.of(RepairAsked) == []
