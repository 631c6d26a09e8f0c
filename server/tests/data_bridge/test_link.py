"""Devices talk to a real bridge over real WebSockets."""

from aitrading.core.protocol.link.events import PeerClosed
from aitrading.core.security.certificates import DeviceIdentity
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.server.data_bridge.harness import running_bridge
from aitrading.server.data_bridge.probe_device import Device, declared, ticks
from aitrading.server.kit.service_harness import ServiceWorld


@async_test
async def test_ticks_are_acknowledged_and_stored_once(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    async with running_bridge(world) as bridge:
        bridge.devices.add(identity)
        device = Device(identity)
        await device.open(bridge.socket, declared())
        rows = ticks(500)
        last = device.send(rows)
        await device.until_acknowledged(last)
        stored = await eventually(
            lambda: next((s for s in bridge.store.rows().values() if len(s) == 500), None)
        )
        assert b"".join(stored[sequence] for sequence in range(1, 501)) == rows.tobytes()
        assert bridge.chains.health("market-data").hops[3].count == 500


@async_test
async def test_unknown_and_foreign_devices_are_refused(
    world: ServiceWorld, identity: DeviceIdentity, stranger: DeviceIdentity
) -> None:
    async with running_bridge(world) as bridge:
        bridge.devices.add(identity)
        foreign = DeviceIdentity(tenant=stranger.tenant, device=identity.device)
        for refused in (stranger, foreign):
            device = Device(refused)
            await device.connect(bridge.socket, declared())
            closed = await eventually(lambda one=device: one.of(PeerClosed))
            assert closed[0].notice.code == "LINK_DEVICE_REFUSED"
        assert not bridge.store.calls
