"""The way from the spool to the database service, and what happens when it is blocked."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from aitrading.core.protocol.link.events import PeerClosed
from aitrading.core.protocol.sealed_segment import SEALED_HEADER_BYTES
from aitrading.core.security.certificates import DeviceIdentity
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.server.data_bridge.handover import SegmentHandover
from aitrading.server.kit.peer_errors import PEER_UNREACHABLE, ErrorAnswer, ErrorBody, rebuilt
from aitrading.server.testing.bridge import RunningBridge, running_bridge
from aitrading.server.testing.probe_device import Device, declared, ticks
from aitrading.server.testing.services import ServiceWorld

AWAY = PEER_UNREACHABLE.error(peer="database-service", reason="test")
BATCH = 2_000


def total(bridge: RunningBridge) -> int:
    return sum(map(len, bridge.store.rows().values()))


async def flood(device: Device) -> int:
    """Send until the server ends the link; gives the sequence of the last tick."""
    last = 0
    while not device.ended.is_set() and not device.of(PeerClosed):
        if device.session.room() >= BATCH:
            last = device.send(ticks(BATCH, first=last + 1))
        before = device.session.room()
        await eventually(
            lambda before=before: (
                device.session.room() > before
                or device.ended.is_set()
                or device.session.room() >= BATCH
            )
        )
    return last


@async_test
async def test_segments_wait_for_the_database_and_are_handed_over_once(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    async with running_bridge(world) as bridge:
        bridge.devices.add(identity)
        device = Device(identity)
        await device.open(bridge.socket, declared())
        bridge.store.failure = AWAY
        await device.until_acknowledged(device.send(ticks(100)))
        handover = await bridge.get(SegmentHandover)
        await eventually(lambda: handover.state == "DEGRADED")
        assert bridge.health.ready(), "ticks are still taken"
        site = bridge.errors.recovery_report()["bridge-segment-handover"]
        assert (site.acts > 0, site.last_error) == (True, "PEER_UNREACHABLE")
        bridge.store.failure = None
        await eventually(lambda: total(bridge) == 100)
        await eventually(lambda: handover.state == "HEALTHY" and handover.handed_over)
        assert bridge.store.copies() == 0


@async_test
async def test_a_segment_that_can_never_be_stored_is_set_aside_and_the_next_ones_pass(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    refusal = rebuilt(
        ErrorAnswer(
            error=ErrorBody(code="SEGMENT_QUARANTINED", message="bad", category="fatal")  # type: ignore[arg-type]
        ),
        422,
    )
    async with running_bridge(world) as bridge:
        bridge.devices.add(identity)
        device = Device(identity)
        await device.open(bridge.socket, declared())
        bridge.store.failure = refusal
        await device.until_acknowledged(device.send(ticks(10)))
        handover = await bridge.get(SegmentHandover)
        await eventually(lambda: handover.quarantined == 1)
        bridge.store.failure = None
        await device.until_acknowledged(device.send(ticks(10, first=11)))
        await eventually(lambda: total(bridge) == 10)
        assert len(list((world.home / "spool" / "data-bridge").glob("*.corrupt"))) == 1
        assert bridge.errors.recovery_report()["bridge-segment"].acts > 0


@async_test
async def test_a_damaged_segment_is_set_aside(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    folder = world.home / "spool" / "data-bridge"
    async with running_bridge(world) as bridge:
        handover = await backlog(bridge, identity, folder)
        damage(segments(folder)[1])
        bridge.store.failure = None
        await eventually(lambda: handover.quarantined == 1)
        assert total(bridge) == 10


@async_test
async def test_a_segment_that_was_damaged_while_it_waited_does_not_keep_the_bridge_from_starting(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    folder = world.home / "spool" / "data-bridge"
    async with running_bridge(world) as bridge:
        await backlog(bridge, identity, folder)
    damage(segments(folder)[0])
    async with running_bridge(world) as bridge:
        bridge.devices.add(identity)
        await eventually(lambda: total(bridge) == 10)
        assert len(list(folder.glob("*.corrupt"))) == 1
        device = Device(identity)
        await device.open(bridge.socket, declared())
        assert device.durable() == 20, "what came behind the damage is remembered"


async def backlog(
    bridge: RunningBridge, identity: DeviceIdentity, folder: Path
) -> SegmentHandover:
    """Twenty acknowledged ticks in two segments that wait for a database that is away."""
    bridge.devices.add(identity)
    device = Device(identity)
    await device.open(bridge.socket, declared())
    bridge.store.failure = AWAY
    await device.until_acknowledged(device.send(ticks(10)))
    handover = await bridge.get(SegmentHandover)
    await eventually(lambda: handover.state == "DEGRADED")
    await device.until_acknowledged(device.send(ticks(10, first=11)))
    await eventually(lambda: len(segments(folder)) > 1)
    return handover


def damage(segment: Path) -> None:
    """One bit, as a disk does it."""
    data = bytearray(segment.read_bytes())
    data[SEALED_HEADER_BYTES + 60] ^= 0x01
    segment.write_bytes(data)


def segments(folder: Path) -> list[Path]:
    return sorted(one for one in folder.iterdir() if one.suffix not in (".lock", ".corrupt"))


@async_test
async def test_a_full_spool_stops_acknowledging_and_goes_on_when_there_is_room(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    settings = {
        "bridge.spool_limit_mb": "1",
        "bridge.segment_mb": "1",
        "limits.spool_per_cent": "100",
    }
    async with running_bridge(world, settings=settings) as bridge:
        bridge.devices.add(identity)
        device = Device(identity)
        await device.open(bridge.socket, declared())
        bridge.store.failure = AWAY
        await flood(device)
        assert device.of(PeerClosed)[0].notice.code == "LINK_OVERLOADED"
        assert device.of(PeerClosed)[0].notice.retry_after_ms > 0
        await require_halted(bridge)
        acknowledged = device.acknowledged.get(1, 0)
        bridge.store.failure = None
        await eventually(bridge.health.ready)
        again = Device(identity)
        await again.open(bridge.socket, declared())
        assert again.durable() >= acknowledged
        last = again.send(ticks(10, first=again.durable() + 1))
        await again.until_acknowledged(last)
        await eventually(lambda: total(bridge) == last)


async def require_halted(bridge: RunningBridge) -> None:
    await eventually(lambda: not bridge.health.ready())
    assert "tick ingest" in bridge.errors.halts
    assert bridge.errors.recovery_report()["bridge-spool"].active


@pytest.fixture
def tiny_disk(world: ServiceWorld) -> Iterator[Path]:
    """A real disk of 3 MiB for the spool."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small disk")
    folder = world.home / "spool" / "data-bridge"
    folder.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)], check=False
    )
    if mounted.returncode:
        pytest.skip("this system does not let tests mount a disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_survived(
    world: ServiceWorld, identity: DeviceIdentity, tiny_disk: Path
) -> None:
    @async_test
    async def scenario() -> None:
        settings = {"bridge.segment_mb": "1", "limits.spool_per_cent": "100"}
        async with running_bridge(world, settings=settings) as bridge:
            bridge.devices.add(identity)
            device = Device(identity)
            await device.open(bridge.socket, declared())
            ballast = tiny_disk / "ballast"
            ballast.write_bytes(bytes(2 * 1024 * 1024))
            bridge.store.failure = AWAY
            await flood(device)
            await require_halted(bridge)
            acknowledged = device.acknowledged.get(1, 0)
            ballast.unlink()
            bridge.store.failure = None
            await eventually(bridge.health.ready)
            again = Device(identity)
            await again.open(bridge.socket, declared())
            assert again.durable() >= acknowledged
            last = again.send(ticks(10, first=again.durable() + 1))
            await again.until_acknowledged(last)
            await eventually(lambda: total(bridge) == last)

    scenario()
