"""Every device comes back at once: all get in, none twice, and the bridge holds no more than it may."""

import asyncio
from uuid import UUID

import pytest
from picows import WSFrame, WSHandshakeError, WSTransport
from typing_extensions import override

from aitrading.core.infrastructure.error_handler import RECONNECT_FOREVER
from aitrading.core.kit.ids import DeviceId, TenantId
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.protocol.error_codes import LINK_GOING_AWAY
from aitrading.core.protocol.link.events import Established
from aitrading.core.security.certificates import DeviceIdentity
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.campaign import points, report
from aitrading.core.testing.eventually import eventually
from aitrading.server.data_bridge.links import DeviceLinks
from aitrading.server.data_bridge.streams import StreamDirectory
from aitrading.server.testing.bridge import RunningBridge, running_bridge
from aitrading.server.testing.probe_device import Device, declared, ticks
from aitrading.server.testing.services import ServiceWorld

DEVICES = points(150)
DEVICES_OF_EACH = 10
AT_THE_DOOR = 256
"""Connections that are being made at once: asyncio waits for ever at a Unix socket's full backlog."""
HURRY = 0.1
"""The waits of these clients beside those of real ones."""


class Prompt(Device):
    """Says when it was answered; two thousand that look every few milliseconds would be the storm."""

    def __init__(self, identity: DeviceIdentity) -> None:
        super().__init__(identity)
        self.answered = asyncio.Event()

    @override
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        super().on_ws_frame(transport, frame)
        if self.of(Established):
            self.answered.set()

    @override
    def on_ws_disconnected(self, transport: WSTransport) -> None:
        super().on_ws_disconnected(transport)
        self.answered.set()


class Client:
    """Comes back until it is in, as the real client does: full jitter after each failure."""

    def __init__(self, bridge: RunningBridge, number: int, door: asyncio.Semaphore) -> None:
        tenant = TenantId(UUID(int=1 + number // DEVICES_OF_EACH))
        self.identity = DeviceIdentity(tenant=tenant, device=DeviceId(UUID(int=1_000 + number)))
        self.attempts = 0
        self.device = Prompt(self.identity)
        self._bridge = bridge
        self._door = door
        self._randomness = SystemRandomness()
        bridge.devices.add(self.identity)

    async def come(self) -> None:
        failures = 0
        while not await self._is_in():
            failures += 1
            wait_s = RECONNECT_FOREVER.delay_s(failures, self._randomness)
            await asyncio.sleep(wait_s * HURRY)

    async def _is_in(self) -> bool:
        self.attempts += 1
        self.device = device = Prompt(self.identity)
        try:
            async with self._door:
                await device.connect(self._bridge.socket, declared())
        except (WSHandshakeError, OSError):
            return False
        await device.answered.wait()
        return not device.ended.is_set()


@pytest.mark.timeout(120 + DEVICES // 5)
@async_test
async def test_all_come_back_at_once_and_all_get_in(world: ServiceWorld) -> None:
    settings = {
        "bridge.links_max": str(DEVICES),
        "limits.connections_per_minute": "600",
    }
    async with running_bridge(world, settings=settings) as bridge:
        links: DeviceLinks = await bridge.get(DeviceLinks)
        directory: StreamDirectory = await bridge.get(StreamDirectory)
        door = asyncio.Semaphore(AT_THE_DOOR)
        clients = [Client(bridge, number, door) for number in range(DEVICES)]
        most = 0
        for _ in range(2):
            async with asyncio.TaskGroup() as storm:
                for client in clients:
                    storm.create_task(client.come())
            most = max(most, len(links._all))
            assert len(links) == DEVICES
            links.close_all(LINK_GOING_AWAY)
            old = [client.device for client in clients]
            for device in old[::2]:  # half of them do not wait for the goodbye
                device.cut()
        async with asyncio.TaskGroup() as storm:
            for client in clients:
                storm.create_task(client.come())
        for client in clients:
            last = client.device.send(ticks(3))
            await client.device.until_acknowledged(last, timeout_s=60)
        assert most <= DEVICES
        await eventually(lambda: len(links._all) == DEVICES)
        assert (len(links), len(directory)) == (DEVICES, DEVICES)
        attempts = [client.attempts for client in clients]
        report({"clients": DEVICES, "attempts": sum(attempts), "most_of_one": max(attempts)})
