"""Devices that do not read, and floods of frames that cost more to answer than to send."""

import asyncio
from collections.abc import Callable
from uuid import UUID

import pytest
from picows import WSFrame, WSMsgType, WSTransport
from typing_extensions import override

from aitrading.core.domain.market import TickBatch, make_batch
from aitrading.core.protocol.link.events import Established
from aitrading.core.protocol.link.frames import FrameType, encode_control
from aitrading.core.protocol.link.messages import Open
from aitrading.core.security.certificates import DeviceIdentity
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.server.data_bridge import device_link
from aitrading.server.data_bridge.device_link import CONTROL_FRAMES_MAX, DeviceLink
from aitrading.server.data_bridge.ingest import STRETCHES_MAX, TickIngest
from aitrading.server.data_bridge.links import DeviceLinks
from aitrading.server.data_bridge.streams import BridgeStream
from aitrading.server.testing.bridge import RunningBridge, running_bridge
from aitrading.server.testing.probe_device import OFFSET_S, Device, declared, framed, ticks
from aitrading.server.testing.services import ServiceWorld

KIB = 1024
REQUEST = encode_control(FrameType.OPEN, Open(streams=()))


class Stubborn(Device):
    """Takes no goodbye."""

    @override
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is not WSMsgType.CLOSE:
            super().on_ws_frame(transport, frame)


async def link_of(bridge: RunningBridge, identity: DeviceIdentity) -> DeviceLink:
    links = await bridge.get(DeviceLinks)
    return links._links[identity.device]


def ask(device: Device, times: int) -> None:
    """Send requests for no streams at all: each is answered."""
    for _ in range(times):
        device.session._asked.append(())
        device.raw(REQUEST)


def waiting_bytes(link: DeviceLink) -> int:
    assert link._transport is not None
    return int(link._transport.underlying_transport.get_write_buffer_size())


@async_test
async def test_what_waits_for_a_device_that_does_not_read_is_bounded(
    world: ServiceWorld,
    identity: DeviceIdentity,
    stranger: DeviceIdentity,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running_bridge(world) as bridge:
        for each in (identity, stranger):
            bridge.devices.add(each)
        deaf, good = Device(identity), Device(stranger)
        await deaf.open(bridge.socket, declared())
        await good.open(bridge.socket, declared())
        link = await link_of(bridge, identity)
        assert deaf.transport is not None
        deaf.transport.underlying_transport.pause_reading()
        for _ in range(200):
            ask(deaf, 200)
            await good.until_acknowledged(good.send(ticks(1)))
            assert waiting_bytes(link) < 256 * KIB
        assert waiting_bytes(link) > 0, "the bridge holds as much as it may, and reads no more"
        monkeypatch.setattr(device_link, "UNREAD_POLLS", 2)
        await link.ended.wait()
        assert link.reason == "LINK_NOT_READ"
        await good.until_acknowledged(good.send(ticks(1)))
        deaf.cut()
        await deaf.ended.wait()


@async_test
async def test_a_device_that_reads_again_in_time_goes_on(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    async with running_bridge(world) as bridge:
        bridge.devices.add(identity)
        device = Device(identity)
        await device.open(bridge.socket, declared())
        link = await link_of(bridge, identity)
        assert device.transport is not None
        device.transport.underlying_transport.pause_reading()
        last = device.send(ticks(10))
        while not waiting_bytes(link):
            ask(device, 200)
            await asyncio.sleep(0)
        device.transport.underlying_transport.resume_reading()
        await device.until_acknowledged(last)
        await eventually(lambda: not waiting_bytes(link))
        await device.until_acknowledged(device.send(ticks(10)))


def pings(device: Device, count: int) -> None:
    assert device.transport is not None
    for _ in range(count):
        device.transport.send_ping(b"x" * 100)


def fragments(device: Device, count: int) -> None:
    assert device.transport is not None
    for _ in range(count):
        device.transport.send(WSMsgType.BINARY, b"x", fin=False)


@pytest.mark.parametrize(
    ("flood", "code"),
    [(pings, "LINK_LIMIT_EXCEEDED"), (fragments, "LINK_FRAME_MALFORMED")],
)
def test_a_flood_ends_the_link_and_counts_against_the_device(
    world: ServiceWorld,
    identity: DeviceIdentity,
    flood: Callable[[Device, int], None],
    code: str,
) -> None:
    @async_test
    async def scenario() -> None:
        async with running_bridge(world, settings={"bridge.faults_limit": "1"}) as bridge:
            bridge.devices.add(identity)
            device = Device(identity)
            await device.open(bridge.socket, declared())
            link = await link_of(bridge, identity)
            flood(device, 20 * CONTROL_FRAMES_MAX)
            await device.ended.wait()
            assert link.fault is not None
            assert link.reason == link.fault.code == code
            again = Device(identity)
            await again.connect(bridge.socket, declared())
            await again.ended.wait()
            assert not again.of(Established)

    scenario()


@async_test
async def test_a_ping_behind_ticks_does_not_hold_them_back(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    """Both in one piece of data: the ticks are not left for the next piece."""
    async with running_bridge(world) as bridge:
        bridge.devices.add(identity)
        device = Device(identity)
        await device.open(bridge.socket, declared())
        assert device.transport is not None
        socket = device.transport.underlying_transport
        ping = bytes((0x89, 0x80, 0, 0, 0, 0))
        last = device.send_one_by_one(ticks(1), behind=ping)
        await device.until_acknowledged(last)
        assert not socket.is_closing()


@async_test
async def test_ticks_that_contradict_each_other_cost_others_nothing(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    """Every other tick of a batch is absurd: all are stored, a few stretches are shown."""
    async with running_bridge(world) as bridge:
        bridge.devices.add(identity)
        ingest = await bridge.get(TickIngest)
        shown, on_batch = list[TickBatch](), ingest.on_batch

        def noted(stream: BridgeStream, batch: TickBatch) -> None:
            shown.append(batch)
            on_batch(stream, batch)

        ingest.on_batch = noted
        device = Device(identity)
        await device.open(bridge.socket, declared())
        rows = ticks(2_000)
        rows["bid"][1::2] += 400_000
        rows["ask"][1::2] += 400_000
        await device.until_acknowledged(device.send(rows))
        assert len(shown) == STRETCHES_MAX
        assert shown[-1].last_sequence == 1_999
        await eventually(lambda: len(next(iter(bridge.store.rows().values()), {})) == 2_000)


@async_test
async def test_a_device_whose_newest_tick_is_of_no_time_may_greet_again(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    async with running_bridge(world) as bridge:
        bridge.devices.add(identity)
        device = Device(identity)
        await device.open(bridge.socket, declared())
        rows = ticks(3)
        rows["event_ms"][2] = -(2**63)
        await device.until_acknowledged(device.send(rows))
        again = Device(identity)
        await again.open(bridge.socket, declared())
        assert again.durable() == 3


@async_test
async def test_what_a_device_sent_before_it_broke_the_rules_is_committed_as_its_own(
    world: ServiceWorld, identity: DeviceIdentity, stranger: DeviceIdentity
) -> None:
    """Ticks and two text messages in one piece: nothing is left over for the next link to answer for."""
    async with running_bridge(world) as bridge:
        for who in (identity, stranger):
            bridge.devices.add(who)
        rude, good = Stubborn(identity), Device(stranger)
        await rude.open(bridge.socket, declared())
        await good.open(bridge.socket, declared())
        ingest, link = await bridge.get(TickIngest), await link_of(bridge, identity)
        rows = ticks(20)
        batch = make_batch(UUID(int=1), 1, rows, receive_ns=0, broker_offset_s=OFFSET_S)
        rude.session.send_ticks(1, batch)
        text = bytes((0x81, 0x82, 0, 0, 0, 0)) + b"hi"
        assert rude.transport is not None
        piece = b"".join(map(framed, rude.session.outgoing())) + text + text
        rude.transport.underlying_transport.write(piece)
        await eventually(lambda: link._is_leaving)
        assert not link.ended.is_set()
        assert not ingest._collected
        await eventually(lambda: sum(map(len, bridge.store.rows().values())) == 20)
        rude.cut()
        await rude.ended.wait()
