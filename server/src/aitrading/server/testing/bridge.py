"""The whole bridge inside a test: real WebSockets, real spool, twins instead of its peers.

::

    async with running_bridge(tmp_path) as bridge:
        bridge.devices.add(identity)
        ...  # connect to bridge.socket as the edge does
        rows = bridge.store.rows()
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from picows import WSListener, WSTransport

from aitrading.core.infrastructure.chain_registry import ChainRegistry
from aitrading.core.infrastructure.chains import ALL_CHAINS
from aitrading.core.infrastructure.config_manager import ConfigManager
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.event_bus import EventBus
from aitrading.core.infrastructure.health import HealthRegistry
from aitrading.core.infrastructure.import_manager import Container
from aitrading.core.infrastructure.lifecycle import LifecycleManager
from aitrading.core.kit.clock import Clock, SystemClock
from aitrading.core.kit.ids import IdFactory, SystemIdFactory
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.testing.memory_bus import MemoryBroker, MemoryBus
from aitrading.server.data_bridge.ports import DeviceRegister, TickStore
from aitrading.server.data_bridge.service import SPEC
from aitrading.server.data_bridge.unix_websocket import client_protocol
from aitrading.server.kit.bundle import ServiceBundle
from aitrading.server.kit.service_parts import graph_of
from aitrading.server.kit.service_spec import COMMON_SECTIONS
from aitrading.server.testing.bridge_twins import FolderTickStore, MemoryDeviceRegister
from aitrading.server.testing.services import ServiceWorld


async def connect_as_edge(
    socket: Path, path: str, listener: WSListener, headers: Mapping[str, str]
) -> WSTransport:
    """Open a WebSocket as the edge does; raises `WSHandshakeError` when it is refused."""
    loop = asyncio.get_running_loop()
    protocol: Any
    _, protocol = await loop.create_unix_connection(
        lambda: client_protocol(path, lambda: listener, list(headers.items())), str(socket)
    )
    await protocol.wait_until_handshake_complete()
    return protocol.transport


@dataclass(frozen=True, kw_only=True)
class RunningBridge:
    """A bridge that serves."""

    socket: Path
    bundle: ServiceBundle
    store: FolderTickStore
    devices: MemoryDeviceRegister
    bus: MemoryBus
    container: Container
    health: HealthRegistry
    errors: ErrorHandler
    chains: ChainRegistry

    async def get(self, wanted: type[Any]) -> Any:
        """A part of the bridge."""
        return await self.container.get(wanted)


@asynccontextmanager
async def running_bridge(
    world: ServiceWorld,
    *,
    store: FolderTickStore | None = None,
    settings: Mapping[str, str] | None = None,
    clock: Clock | None = None,
    socket: Path | None = None,
) -> AsyncGenerator[RunningBridge]:
    """Run a bridge over the world's home; a second one after it recovers what the first left."""
    clock = clock or SystemClock()
    ids: IdFactory = SystemIdFactory(clock, SystemRandomness())
    bundle = world.bundle(SPEC.name)
    bundle = msgspec.structs.replace(
        bundle, websocket_socket=socket or bundle.listener.socket.with_name("ws.sock")
    )
    config = ConfigManager.load((*COMMON_SECTIONS, *SPEC.sections), overrides=settings or {})
    manager = graph_of(SPEC, bundle, config)
    twin = store or FolderTickStore(world.home / "stored")
    devices = MemoryDeviceRegister()
    manager.override_value(Clock, clock)
    manager.override_value(TickStore, twin)
    manager.override_value(DeviceRegister, devices)
    broker = MemoryBroker()

    def bus_of(errors: ErrorHandler) -> MemoryBus:
        return MemoryBus(broker, clock=clock, ids=ids, errors=errors)

    manager.provide(bus_of)
    manager.provide(_event_bus)
    async with manager.build() as container:
        bus = await container.get(MemoryBus)
        chains = await container.get(ChainRegistry)
        chains.define(*ALL_CHAINS)
        health = await container.get(HealthRegistry)
        components: list[Any] = [bus, *[await container.get(kind) for kind in SPEC.components]]
        for component in components:
            health.watch(component)
        async with LifecycleManager(components):
            yield RunningBridge(
                socket=bundle.websocket_socket or bundle.listener.socket,
                bundle=bundle,
                store=twin,
                devices=devices,
                bus=bus,
                container=container,
                health=health,
                errors=await container.get(ErrorHandler),
                chains=chains,
            )


def _event_bus(bus: MemoryBus) -> EventBus:
    return bus
