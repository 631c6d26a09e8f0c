"""Devices that do not read, and floods of frames that cost more to answer than to send."""

import asyncio
from collections.abc import Callable

import pytest
from picows import WSMsgType

from aitrading.core.protocol.link.events import Established
from aitrading.core.protocol.link.frames import FrameType, encode_control
from aitrading.core.protocol.link.messages import Open
from aitrading.core.security.certificates import DeviceIdentity
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.server.data_bridge import device_link
from aitrading.server.data_bridge.device_link import CONTROL_FRAMES_MAX, DeviceLink
from aitrading.server.data_bridge.links import DeviceLinks
from aitrading.server.testing.bridge import RunningBridge, running_bridge
from aitrading.server.testing.probe_device import Device, declared, ticks
from aitrading.server.testing.services import ServiceWorld

KIB = 1024
REQUEST = encode_control(FrameType.OPEN, Open(streams=()))


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
