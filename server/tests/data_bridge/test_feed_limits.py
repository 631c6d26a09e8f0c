"""An organisation has so many feeds, and a feed that nobody delivers any more frees its place."""

import json
from typing import Any
from uuid import UUID

import pytest
from picows import WSFrame, WSListener, WSMsgType, WSTransport
from typing_extensions import override

from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.kit.ids import DeviceId
from aitrading.core.protocol.link.events import Established, StreamOpened, StreamRefused
from aitrading.core.security.certificates import DeviceIdentity
from aitrading.core.security.claims import RateClaims
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.server.data_bridge import flow
from aitrading.server.data_bridge.fanout import STREAM_PATH
from aitrading.server.data_bridge.feeds import FeedWatch
from aitrading.server.data_bridge.quotes import QuoteBoard
from aitrading.server.data_bridge.streams import FeedKey, StreamDirectory
from aitrading.server.kit.feed_truth_api import GapTold
from aitrading.server.kit.peer_errors import PEER_UNREACHABLE
from aitrading.server.testing.bridge import RunningBridge, connect_as_edge, running_bridge
from aitrading.server.testing.bridge_twins import FolderTickStore
from aitrading.server.testing.probe_device import Device, declared, ticks
from aitrading.server.testing.probe_person import access_token
from aitrading.server.testing.services import ServiceWorld

AWAY = PEER_UNREACHABLE.error(peer="database-service", reason="test")
TWO = {"limits.feeds_max": "2"}
QUICK = {
    "calendar.sessions": "forex always",
    "feed.delayed_after_s": "0.4",
    "feed.stale_after_s": "0.8",
    "feed.dead_after_s": "1.2",
    "feed.forget_after_s": "1.5",
}


def sibling(identity: DeviceIdentity, number: int) -> DeviceIdentity:
    """Another device of the organisation."""
    return DeviceIdentity(tenant=identity.tenant, device=DeviceId(UUID(int=number)))


async def opened(
    bridge: RunningBridge, identity: DeviceIdentity, *symbols: str, **changes: int
) -> Device:
    """A link that declared these symbols, whatever was granted."""
    bridge.devices.add(identity)
    device = Device(identity)
    said = [declared(handle, each, **changes) for handle, each in enumerate(symbols, start=1)]
    await device.open(bridge.socket, *said)
    return device


def granted(device: Device) -> list[str]:
    return [event.declaration.symbol for event in device.of(StreamOpened)]


def refused(device: Device) -> dict[str, str]:
    return {event.declaration.symbol: event.code for event in device.of(StreamRefused)}


async def has_metric(bridge: RunningBridge, line: str) -> bool:
    metrics: Metrics = await bridge.get(Metrics)
    return f"aitrading_bridge_{line}" in metrics.render().decode().splitlines()


def gaps(bridge: RunningBridge) -> dict[UUID, GapTold]:
    """As they were told last."""
    return {gap.id: gap for truth in bridge.store.truths for gap in truth.gaps}


@async_test
async def test_beyond_its_limit_an_organisation_opens_no_feed_and_all_else_goes_on(
    world: ServiceWorld, identity: DeviceIdentity, stranger: DeviceIdentity
) -> None:
    async with running_bridge(world, settings=TWO) as bridge:
        first = await opened(bridge, identity, "EURUSD", "GBPUSD", "XAUUSD")
        assert granted(first) == ["EURUSD", "GBPUSD"]
        assert refused(first) == {"XAUUSD": "LINK_FEEDS_FULL"}
        second = await opened(bridge, sibling(identity, 12), "EURUSD")
        assert refused(second) == {"EURUSD": "LINK_FEEDS_FULL"}
        await first.until_acknowledged(first.send(ticks(5)))
        theirs = await opened(bridge, stranger, "EURUSD", "GBPUSD")
        assert not refused(theirs)
        later = await opened(bridge, identity, "EURUSD", "GBPUSD", epoch=1_700_000_001)
        assert not refused(later), "another epoch is no other feed"
        assert await has_metric(bridge, 'shares_refused_total{what="feeds"} 2.0')
        directory: StreamDirectory = await bridge.get(StreamDirectory)
        assert directory.feeds_of(identity.tenant) == directory.feeds_of(stranger.tenant) == 2


@async_test
async def test_what_was_granted_to_one_organisation_counts_for_it(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    async with running_bridge(world, settings=TWO) as bridge:
        bridge.devices.add(identity, rates=RateClaims(granted={"feeds_max": 3}))
        device = Device(identity)
        symbols = ("EURUSD", "GBPUSD", "XAUUSD", "USDJPY")
        await device.open(
            bridge.socket, *[declared(handle, each) for handle, each in enumerate(symbols, 1)]
        )
        assert refused(device) == {"USDJPY": "LINK_FEEDS_FULL"}


@async_test
async def test_an_opening_that_fails_takes_no_place(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    async with running_bridge(world, settings=TWO) as bridge:
        bridge.devices.add(identity)
        bridge.store.failure = AWAY
        device = Device(identity)
        await device.connect(bridge.socket, declared(1), declared(2, "GBPUSD"))
        await eventually(device.ended.is_set)
        assert not device.of(Established)
        bridge.store.failure = None
        assert not refused(await opened(bridge, identity, "EURUSD", "GBPUSD"))


async def forgotten(bridge: RunningBridge, key: FeedKey) -> None:
    directory: StreamDirectory = await bridge.get(StreamDirectory)
    watch: FeedWatch = await bridge.get(FeedWatch)
    await eventually(lambda: key not in set(watch.keys()), what="the feed is forgotten")
    assert key not in {stream.feed_key for stream in directory}


def key_of(device: Device, symbol: str = "EURUSD") -> FeedKey:
    said = declared(1, symbol)
    return FeedKey(symbol, device.identity.device, said.broker, said.login)


@async_test
async def test_a_feed_without_link_and_tick_is_forgotten_and_comes_back_as_if_it_had_not_been(
    world: ServiceWorld, identity: DeviceIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "FORGET_S", 0.05)
    async with running_bridge(world, settings={**TWO, **QUICK}) as bridge:
        gone = await opened(bridge, identity, "EURUSD")
        await gone.until_acknowledged(gone.send(ticks(10)))
        stays = await opened(bridge, sibling(identity, 12), "EURUSD")
        gone.cut()
        await forgotten(bridge, key_of(gone))
        watch: FeedWatch = await bridge.get(FeedWatch)
        board: QuoteBoard = await bridge.get(QuoteBoard)
        assert list(watch.keys()) == [key_of(stays)], "one with a link stays, however silent"
        assert not board.of_tenant(identity.tenant)
        assert await has_metric(bridge, "feeds_forgotten_total 1.0")
        freed = await opened(bridge, sibling(identity, 13), "XAUUSD")
        assert not refused(freed)
        assert refused(await opened(bridge, identity, "EURUSD")) == {"EURUSD": "LINK_FEEDS_FULL"}
        freed.cut()
        await forgotten(bridge, key_of(freed, "XAUUSD"))
        back = await opened(bridge, identity, "EURUSD")
        assert back.durable() == 10, "it goes on where it stopped"

        async def goes_on() -> bool:
            """A tick that a busy machine takes too late is no sign of life; another one comes."""
            await back.until_acknowledged(back.send(ticks(1)))
            return any(gap.repair_first == 11 for gap in gaps(bridge).values())

        await eventually(goes_on, what="the end of its outage")
        sent = back.acknowledged[1]
        await eventually(lambda: sorted(map(len, bridge.store.rows().values())) == [sent])
        assert not bridge.store.copies()
        assert all(gap.first is None for gap in gaps(bridge).values()), "no tick is missing"


@async_test
async def test_what_is_not_in_the_database_yet_is_not_forgotten(
    world: ServiceWorld, identity: DeviceIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "FORGET_S", 0.05)
    async with running_bridge(world, settings=QUICK) as bridge:
        directory: StreamDirectory = await bridge.get(StreamDirectory)
        watch: FeedWatch = await bridge.get(FeedWatch)
        device = await opened(bridge, identity, "EURUSD")
        bridge.store.failure = AWAY
        await device.until_acknowledged(device.send(ticks(10)))
        device.cut()
        await eventually(lambda: watch.is_over(key_of(device)))
        assert directory.forget(key_of(device)) is None
        assert directory.feeds_of(identity.tenant) == 1
        bridge.store.failure = None
        await forgotten(bridge, key_of(device))
        back = await opened(bridge, identity, "EURUSD")
        assert back.durable() == 10


@async_test
async def test_what_a_restart_found_in_the_spool_is_not_forgotten_before_it_is_stored(
    world: ServiceWorld, identity: DeviceIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "FORGET_S", 0.05)
    async with running_bridge(world, settings=QUICK) as bridge:
        device = await opened(bridge, identity, "EURUSD")
        bridge.store.failure = AWAY
        await device.until_acknowledged(device.send(ticks(10)))
    known = FolderTickStore(world.home / "stored")
    store = known.store

    async def store_nothing(*_: object) -> Any:
        raise AWAY

    monkeypatch.setattr(known, "store", store_nothing)
    settings = {**QUICK, "limits.feeds_max": "1"}
    async with running_bridge(world, store=known, settings=settings) as bridge:
        back = await opened(bridge, identity, "EURUSD")
        assert back.durable() == 10
        back.cut()
        directory: StreamDirectory = await bridge.get(StreamDirectory)
        watch: FeedWatch = await bridge.get(FeedWatch)
        await eventually(lambda: watch.is_over(key_of(back)))
        assert directory.forget(key_of(back)) is None
        full = await opened(bridge, sibling(identity, 12), "EURUSD")
        assert refused(full) == {"EURUSD": "LINK_FEEDS_FULL"}
        monkeypatch.setattr(known, "store", store)
        await forgotten(bridge, key_of(back))
        again = await opened(bridge, identity, "EURUSD")
        assert again.durable() == 10


MANY = 1_600
OF_A_LINK = 800


class Reader(WSListener):
    """Somebody who counts the feeds and the quotes that are told."""

    def __init__(self) -> None:
        self.feeds: set[str] = set()
        self.quotes: list[str] = []

    @override
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.TEXT:
            said = json.loads(frame.get_payload_as_bytes())
            if said["type"] == "feed":
                self.feeds.add(said["symbol"])
            elif said["type"] == "quote":
                self.quotes.append(said["symbol"])


@async_test
async def test_thousands_of_feeds_and_quotes_are_told_to_who_opens_a_stream_as_fast_as_they_are_read(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    async with running_bridge(world) as bridge:
        symbols = [f"SYM{number:04}" for number in range(MANY)]
        for number, some in enumerate((symbols[:OF_A_LINK], symbols[OF_A_LINK:]), start=11):
            device = await opened(bridge, sibling(identity, number), *some)
            await eventually(lambda one=device, all_=some: len(granted(one)) == len(all_))
            for handle in range(1, len(some) + 1):
                device.send(ticks(1), handle=handle)
            await device.until_acknowledged(1, len(some), timeout_s=60)
        reader = Reader()
        bearer = {"authorization": f"Bearer {access_token(world, identity.tenant)}"}
        await connect_as_edge(bridge.socket, STREAM_PATH, reader, bearer)
        await eventually(lambda: (len(reader.feeds), len(reader.quotes)) == (MANY, MANY))
        assert len(set(reader.quotes)) == MANY
