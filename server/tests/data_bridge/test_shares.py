"""No organisation takes the place of the others: links, streams, and room in the spool."""

import asyncio
from contextlib import suppress
from uuid import UUID

import pytest
from picows import WSHandshakeError, WSListener, WSTransport

from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.kit.ids import DeviceId, TenantId
from aitrading.core.protocol.link.events import Established, PeerClosed
from aitrading.core.security.certificates import DeviceIdentity
from aitrading.core.security.claims import RateClaims
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.server.data_bridge.fanout import STREAM_PATH
from aitrading.server.data_bridge.shares import SpoolShares
from aitrading.server.kit.peer_errors import PEER_UNREACHABLE
from aitrading.server.testing.bridge import RunningBridge, connect_as_edge, running_bridge
from aitrading.server.testing.probe_device import Device, declared, forwarded, ticks
from aitrading.server.testing.probe_person import access_token
from aitrading.server.testing.services import ServiceWorld

AWAY = PEER_UNREACHABLE.error(peer="database-service", reason="test")
BATCH = 1_000
SPOOL = {"bridge.spool_limit_mb": "1", "bridge.segment_mb": "1"}


async def flood(device: Device) -> None:
    """Send until the server ends the link; the first ticks are acknowledged."""
    first = device.send(ticks(10)) + 1
    await device.until_acknowledged(first - 1)
    while not device.of(PeerClosed):
        if device.session.room() >= BATCH:
            first = device.send(ticks(BATCH, first=first)) + 1
        await asyncio.sleep(0)


async def opened(bridge: RunningBridge, identity: DeviceIdentity) -> Device:
    bridge.devices.add(identity)
    device = Device(identity)
    await device.open(bridge.socket, declared())
    return device


async def refused(bridge: RunningBridge, identity: DeviceIdentity) -> str:
    """Why a device is not let in."""
    bridge.devices.add(identity)
    device = Device(identity)
    await device.connect(bridge.socket, declared())
    notice = (await eventually(lambda: device.of(PeerClosed)))[0].notice
    assert notice.retry_after_ms > 0
    return notice.code


async def measured(bridge: RunningBridge, line: str) -> bool:
    """A metric has this value."""
    metrics: Metrics = await bridge.get(Metrics)
    return f"aitrading_bridge_{line}" in metrics.render().decode().splitlines()


def other_device(identity: DeviceIdentity, number: int) -> DeviceIdentity:
    return DeviceIdentity(tenant=identity.tenant, device=DeviceId(UUID(int=number)))


@async_test
async def test_who_floods_the_spool_is_held_back_and_another_organisation_goes_on(
    world: ServiceWorld, identity: DeviceIdentity, stranger: DeviceIdentity
) -> None:
    async with running_bridge(world, settings=SPOOL) as bridge:
        good = await opened(bridge, stranger)
        bad = await opened(bridge, identity)
        bridge.store.failure = AWAY
        await good.until_acknowledged(good.send(ticks(10)))
        await flood(bad)
        assert bad.of(PeerClosed)[0].notice.code == "LINK_SHARE_FULL"
        assert await refused(bridge, other_device(identity, 12)) == "LINK_SHARE_FULL"
        assert await measured(bridge, "organisations_held_back 1.0")
        for _ in range(5):
            await good.until_acknowledged(good.send(ticks(10)))
        assert bridge.health.ready(), "nothing is halted"
        assert not good.of(PeerClosed)
        bridge.store.failure = None
        await eventually(lambda: sum(map(len, bridge.store.rows().values())) >= 60)
        shares = await bridge.get(SpoolShares)
        await eventually(lambda: not shares.held_by(identity.tenant))
        again = await comes_back(bridge, identity)
        assert again.durable() >= bad.acknowledged[1], "what was acknowledged is kept"
        last = again.send(ticks(10, first=again.durable() + 1))
        await again.until_acknowledged(last)
        last_of_other = good.send(ticks(1))
        await good.until_acknowledged(last_of_other)
        await eventually(
            lambda: sorted(map(len, bridge.store.rows().values())) == [last_of_other, last]
        )
        assert await measured(bridge, "organisations_held_back 0.0")


async def comes_back(bridge: RunningBridge, identity: DeviceIdentity) -> Device:
    """Try again as a client does, until the device is let in."""

    async def attempt() -> Device | None:
        device = Device(identity)
        await device.connect(bridge.socket, declared())
        await eventually(lambda: device.of(PeerClosed) or device.of(Established))
        return None if device.of(PeerClosed) else device

    return await eventually(attempt)


@async_test
async def test_two_that_flood_leave_room_for_a_third(
    world: ServiceWorld, identity: DeviceIdentity, stranger: DeviceIdentity
) -> None:
    third = DeviceIdentity(tenant=TenantId(UUID(int=3)), device=DeviceId(UUID(int=33)))
    async with running_bridge(world, settings=SPOOL) as bridge:
        quiet = await opened(bridge, third)
        floods = [await opened(bridge, one) for one in (identity, stranger)]
        bridge.store.failure = AWAY
        for each in floods:
            await flood(each)
            assert each.of(PeerClosed)[0].notice.code == "LINK_SHARE_FULL"
        await quiet.until_acknowledged(quiet.send(ticks(100)))
        assert bridge.health.ready()


@async_test
async def test_a_restart_remembers_who_filled_the_spool(
    world: ServiceWorld, identity: DeviceIdentity, stranger: DeviceIdentity
) -> None:
    async with running_bridge(world, settings=SPOOL) as bridge:
        bad = await opened(bridge, identity)
        bridge.store.failure = AWAY
        await flood(bad)
        held = (await bridge.get(SpoolShares)).held_by(identity.tenant)
    async with running_bridge(world, settings=SPOOL) as bridge:
        shares = await bridge.get(SpoolShares)
        bridge.store.failure = AWAY
        assert held > 0
        assert (shares.held_by(identity.tenant), shares.held_by(stranger.tenant)) == (held, 0)


@async_test
async def test_an_organisation_has_so_many_links_and_a_device_may_replace_its_own(
    world: ServiceWorld, identity: DeviceIdentity, stranger: DeviceIdentity
) -> None:
    rates = RateClaims(granted={"links_max": 2})
    async with running_bridge(world) as bridge:
        mine = [other_device(identity, number) for number in (12, 13)]
        for one in mine:
            await opened(bridge, one)
        bridge.devices.add(identity, rates=rates)
        device = Device(identity)
        await device.connect(bridge.socket, declared())
        await eventually(lambda: device.of(PeerClosed))
        assert device.of(PeerClosed)[0].notice.code == "LINK_DEVICES_FULL"
        bridge.devices.add(mine[0], rates=rates)
        replaced = Device(mine[0])
        await replaced.open(bridge.socket, declared())
        await opened(bridge, stranger)
        assert await measured(bridge, 'shares_refused_total{what="links"} 1.0')


@async_test
async def test_sockets_that_do_not_greet_are_of_their_organisation_too(
    world: ServiceWorld, identity: DeviceIdentity, stranger: DeviceIdentity
) -> None:
    async with running_bridge(world, settings={"limits.links_max": "1"}) as bridge:
        silent = [await knocked(bridge, "/link", forwarded(identity)) for _ in range(2)]
        with pytest.raises(WSHandshakeError) as full:
            await knocked(bridge, "/link", forwarded(identity))
        assert full.value.response is not None
        assert full.value.response.status == 429
        await opened(bridge, stranger)
        for each in silent:
            each.disconnect(graceful=False)


@async_test
async def test_an_organisation_has_so_many_streams(
    world: ServiceWorld, identity: DeviceIdentity, stranger: DeviceIdentity
) -> None:
    mine, theirs = (
        {"authorization": f"Bearer {access_token(world, one.tenant)}"}
        for one in (identity, stranger)
    )
    async with running_bridge(world, settings={"limits.streams_max": "2"}) as bridge:
        first, second = [await knocked(bridge, STREAM_PATH, mine) for _ in range(2)]
        with pytest.raises(WSHandshakeError) as full:
            await knocked(bridge, STREAM_PATH, mine)
        assert full.value.response is not None
        assert full.value.response.status == 429
        other = await knocked(bridge, STREAM_PATH, theirs)
        second.disconnect(graceful=False)

        async def let_in() -> WSTransport | None:
            with suppress(WSHandshakeError):
                return await knocked(bridge, STREAM_PATH, mine)
            return None

        third = await eventually(let_in, what="the place of the one that left")
        for each in (first, third, other):
            each.disconnect(graceful=False)


async def knocked(bridge: RunningBridge, path: str, headers: dict[str, str]) -> WSTransport:
    """A connection on which nothing is said."""
    return await connect_as_edge(bridge.socket, path, WSListener(), headers)
