"""The bridge as a real process with real peers and a real bus, so that it can be killed."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from aitrading.core.security.certificates import DeviceIdentity
from aitrading.server.data_bridge.ports import DeviceStatus
from aitrading.server.kit.bundle import HttpListener, PeerAddress, ServiceBundle
from aitrading.server.supervisor.ports import free_port
from aitrading.server.testing.bridge_twins import FolderTickStore
from aitrading.server.testing.engines import running_nats
from aitrading.server.testing.services import RunningService, ServiceWorld

PEER_PROGRAM = str(Path(__file__).with_name("peer_program.py"))
PEERS = ("database-service", "api-gateway")


@dataclass
class BridgeWorld:
    """Everything around the bridge runs; the bridge itself is started and killed by the test."""

    world: ServiceWorld
    bundle: ServiceBundle
    store: FolderTickStore

    @property
    def socket(self) -> Path:
        assert self.bundle.websocket_socket is not None
        return self.bundle.websocket_socket

    def allow(self, *identities: DeviceIdentity) -> None:
        known = [
            DeviceStatus(device=one.device, tenant=one.tenant, state="active")
            for one in identities
        ]
        (self.world.home / "devices.json").write_bytes(msgspec.json.encode(known))

    @asynccontextmanager
    async def bridge(self) -> AsyncGenerator[RunningService]:
        with self.world.start(self.bundle, "-m", "aitrading.server.data_bridge") as running:
            await running.until_ready()
            yield running


@asynccontextmanager
async def bridge_world(world: ServiceWorld) -> AsyncGenerator[BridgeWorld]:
    async with AsyncExitStack() as stack:
        nats = await stack.enter_async_context(running_nats(world.home))
        addresses: dict[str, PeerAddress] = {}
        for name in PEERS:
            address = PeerAddress(host="127.0.0.1", port=free_port())
            listener = HttpListener(
                socket=world.home / f"{name}.sock", host=address.host, port=address.port
            )
            bundle = world.bundle(name, tls=nats.tls(name), listener=listener)
            peer = stack.enter_context(world.start(bundle, PEER_PROGRAM, name))
            await peer.until_ready()
            addresses[name] = address
        bundle = world.bundle(
            "data-bridge",
            tls=nats.tls("data-bridge"),
            nats=nats.access("data-bridge"),
            peers=addresses,
            websocket_socket=world.home / "ws.sock",
        )
        yield BridgeWorld(world, bundle, FolderTickStore(world.home / "stored"))
