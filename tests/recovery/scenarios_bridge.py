"""What the data bridge promises in a fault, with the whole bridge in the test's own process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from harness.link import fill, malformed, refused_greetings
from harness.patching import Process, Room, promised_by

from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import DeviceId, SystemIdFactory, TenantId
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.security.certificates import DeviceIdentity
from aitrading.core.testing.eventually import eventually
from aitrading.server.data_bridge import call_sites as sites
from aitrading.server.data_bridge import service
from aitrading.server.data_bridge.last_known import QuoteReader
from aitrading.server.data_bridge.viewers import Viewers
from aitrading.server.kit.bundle import PeerAddress
from aitrading.server.kit.ingest_api import LastQuote, LastQuotes
from aitrading.server.kit.peer_errors import PEER_UNREACHABLE, ErrorAnswer, ErrorBody, rebuilt
from aitrading.server.supervisor.ports import free_port
from aitrading.server.testing.bridge import RunningBridge, running_bridge
from aitrading.server.testing.probe_device import Device, declared, ticks
from aitrading.server.testing.services import ServiceWorld

IDENTITY = DeviceIdentity(tenant=TenantId(UUID(int=1)), device=DeviceId(UUID(int=11)))
AWAY = PEER_UNREACHABLE.error(peer="database-service", reason="test")
LAST = LastQuote(
    symbol="EURUSD",
    stream=UUID(int=5),
    sequence=7,
    time="2026-01-02T03:04:05.678Z",
    bid="1.08345",
    ask="1.08351",
)


@dataclass
class Ward:
    """A bridge and the device that it knows."""

    bridge: RunningBridge
    process: Process

    async def connected(self) -> Device:
        device = Device(IDENTITY)
        await device.open(self.bridge.socket, declared())
        return device

    def stored(self) -> int:
        return sum(map(len, self.bridge.store.rows().values()))


@asynccontextmanager
async def ward(room: Room, **settings: object) -> AsyncIterator[Ward]:
    overrides = {f"bridge.{name}": str(value) for name, value in settings.items()}
    overrides["limits.spool_per_cent"] = "100"  # one organisation may fill it alone
    async with running_bridge(ServiceWorld(room.folder), settings=overrides) as bridge:
        bridge.devices.add(IDENTITY)
        process = Process(
            errors=bridge.errors, health=bridge.health, metrics=await bridge.get(Metrics)
        )
        yield Ward(bridge, process)


@promised_by(sites.SEGMENT_HANDOVER)
async def ticks_are_handed_over_when_the_database_is_back(room: Room) -> Process:
    async with ward(room) as here:
        device = await here.connected()
        here.bridge.store.failure = AWAY
        await device.until_acknowledged(device.send(ticks(10)))
        await eventually(lambda: here.bridge.store.offered, what="the first attempt")
        here.bridge.store.failure = None
        await eventually(
            lambda: here.stored() == 10, timeout_s=room.patience_s, what="ten stored ticks"
        )
        return here.process


@promised_by(sites.DEVICE_ISOLATION)
async def a_device_that_sends_nonsense_is_kept_out(room: Room) -> Process:
    async with ward(room, isolate_s=60) as here:
        await malformed(here.bridge.socket, IDENTITY, times=4)
        codes = await refused_greetings(here.bridge.socket, IDENTITY, times=1)
        assert codes == ["LINK_DEVICE_REFUSED"]
        return here.process


@promised_by(sites.SPOOL_HALT)
async def a_bridge_with_a_full_spool_is_not_ready(room: Room) -> Process:
    async with ward(room, spool_limit_mb=1) as here:

        def block() -> None:
            here.bridge.store.failure = AWAY

        await fill(here.bridge.socket, IDENTITY, block)
        await eventually(
            lambda: not here.bridge.health.ready(),
            timeout_s=room.patience_s,
            what="not being ready",
        )
        return here.process


@promised_by(sites.SEGMENT_QUARANTINE)
async def a_refused_segment_is_named_while_the_next_ones_pass(room: Room) -> Process:
    body = ErrorBody(code="SEGMENT_QUARANTINED", message="bad", category="fatal")  # type: ignore[arg-type]
    async with ward(room) as here:
        device = await here.connected()
        here.bridge.store.failure = rebuilt(ErrorAnswer(error=body), 422)
        await device.until_acknowledged(device.send(ticks(10)))

        def isolated() -> Any:
            report = here.bridge.health.report()["resilience"]["isolation"]
            return report[sites.SEGMENT_QUARANTINE.name]["isolated_keys"]

        await eventually(isolated, timeout_s=room.patience_s, what="the segment being named")
        here.bridge.store.failure = None
        await device.until_acknowledged(device.send(ticks(10, first=11)))
        await eventually(lambda: here.stored() == 10, what="the next ticks being stored")
        return here.process


@promised_by(sites.QUOTES_LAST_KNOWN)
async def quotes_are_called_unavailable_without_the_database(room: Room) -> Process:
    async with ward(room) as here:
        reader = await here.bridge.get(QuoteReader)
        here.bridge.store.failure = AWAY
        known = await reader.of_tenant(IDENTITY.tenant)
        assert (known.source, known.quotes) == ("unavailable", ())
        return here.process


@promised_by(sites.VIEWER_PLAN)
async def whoever_looks_at_quotes_sees_them_without_the_database(room: Room) -> Process:
    async with ward(room) as here:
        viewers = await here.bridge.get(Viewers)
        here.bridge.store.failure = AWAY
        person: Any = SimpleNamespace(tenant=IDENTITY.tenant, user=UUID(int=7))
        assert await viewers.held(person) is None
        return here.process


@promised_by(sites.QUOTE_FALLBACK)
async def quotes_are_the_last_known_until_a_feed_delivers(room: Room) -> Process:
    async with ward(room) as here:
        reader = await here.bridge.get(QuoteReader)
        here.bridge.store.quotes = LastQuotes(source="store", quotes=(LAST,))
        known = await reader.of_tenant(IDENTITY.tenant)
        assert [(one.symbol, one.bid, str(one.state)) for one in known.quotes] == [
            ("EURUSD", LAST.bid, "DEAD")
        ]
        return here.process


@promised_by(sites.DATABASE_BREAKER)
async def a_dead_database_service_is_not_called_any_more(room: Room) -> Process:
    return await not_called_any_more(
        room, "database-service", lambda peer: peer.last_quotes(IDENTITY.tenant)
    )


@promised_by(sites.IDENTITY_BREAKER)
async def a_dead_api_gateway_is_not_called_any_more(room: Room) -> Process:
    return await not_called_any_more(room, "api-gateway", lambda peer: peer.find(IDENTITY))


async def not_called_any_more(room: Room, peer: str, call: Any) -> Process:
    """The bridge's own way to a peer, to a port where nobody listens."""
    address = PeerAddress(host="127.0.0.1", port=free_port())
    bundle = ServiceWorld(room.folder).bundle("data-bridge", peers={peer: address})
    process = Process.make(room.clock)
    ids = SystemIdFactory(room.clock, SystemRandomness())
    make = service._database if peer == "database-service" else service._identity
    codes: list[str] = []
    async for client in make(bundle, process.errors, room.clock, ids):
        for _ in range(6):
            try:
                await call(client)
            except AitradingError as exc:
                codes.append(exc.code)
    assert codes == ["PEER_UNREACHABLE"] * 5 + ["BREAKER_OPEN"]
    return process
