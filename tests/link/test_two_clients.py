"""Two clients on one device's certificate: a copied home, or a stolen one."""

import asyncio
import os
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Event
from uuid import UUID

import numpy as np
import pytest
from tests.link.test_kills import NoJitter
from typing_extensions import override

from aitrading.client.metatrader_connector.broker_clock import BrokerOffset
from aitrading.client.metatrader_connector.journal import JournalIdentity, Taken, TickJournal
from aitrading.client.metatrader_connector.stream_state import TickStream
from aitrading.client.metatrader_connector.uplink import REASON_SHARED, TickUplink
from aitrading.client.security.link_connection import LinkConnection
from aitrading.client.security.secure_websocket_client import LinkAddress, SecureWebSocketClient
from aitrading.core.domain.market import TickArray
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.events import DeviceRevoked
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.resilience import ResilienceRegistry
from aitrading.core.infrastructure.spool import SpoolLimits
from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.ids import DeviceId, SystemIdFactory, TenantId
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.protocol.error_codes import LINK_DEVICE_SHARED
from aitrading.core.protocol.link.events import Established
from aitrading.core.protocol.link.session import ClientProfile
from aitrading.core.security.certificates import DeviceIdentity
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.core.testing.file_keys import some_file_keys
from aitrading.server.data_bridge.streams import StreamDirectory
from aitrading.server.testing.bridge import RunningBridge, connect_as_edge, running_bridge
from aitrading.server.testing.probe_device import Device, declared, forwarded, ticks
from aitrading.server.testing.services import ServiceWorld

pytestmark = pytest.mark.timeout(120)
IDENTITY = DeviceIdentity(tenant=TenantId(UUID(int=1)), device=DeviceId(UUID(int=11)))
CLOCK = SystemClock()
IDS = SystemIdFactory(CLOCK, SystemRandomness())
KEYS = some_file_keys()
COMMON = 100
"""Ticks that were sent before the home was copied."""


class DirectLink(SecureWebSocketClient):
    """The client's link without TLS: into the bridge as the edge forwards it."""

    socket: Path

    @override
    async def _open_socket(self, connection: LinkConnection) -> None:
        await connect_as_edge(self.socket, "/link", connection, forwarded(IDENTITY))


class Client:
    """Journal, uplink and link of one home, and a terminal that is a list of ticks."""

    def __init__(self, journal: TickJournal, link: DirectLink, uplink: TickUplink) -> None:
        self.journal, self.link, self.uplink = journal, link, uplink
        self.taken: list[bytes] = []

    async def feed(self, history: TickArray) -> None:
        """Take what the terminal's history has behind the stream's place."""
        stream = self.journal.active("Simulated-Demo", 50_000_001, "EURUSD")
        if stream is None:
            stream = await self.begin()
        rows = stream.cursor.later(history)
        self.taken += [rows[index : index + 1].tobytes() for index in range(len(rows))]
        await self.journal.append(
            [Taken(stream=stream, rows=rows, receive_ns=CLOCK.now_ns(), broker_offset_s=0)]
        )

    async def begin(self) -> TickStream:
        return await self.journal.open_stream(
            broker="Simulated-Demo", login=50_000_001, symbol="EURUSD", digits=5, second=0
        )

    async def until_done(self) -> None:
        """The link is there, and the server answered for everything this client has."""
        await eventually(
            lambda: self.link.session is not None and self.uplink.pending_ticks == 0,
            what="nothing to send",
        )

    def without_a_trace(self, bridge: RunningBridge) -> list[bytes]:
        """Ticks that this client took, and that are neither stored nor in its ledger."""
        stored = {row for rows in bridge.store.rows().values() for row in rows.values()}
        gaps = [(gap.from_ms, gap.until_ms) for gap in self.journal.gaps.newest]
        return [
            row
            for row in self.taken
            if row not in stored and not any(first <= time_of(row) <= last for first, last in gaps)
        ]


def time_of(row: bytes) -> int:
    return int(np.frombuffer(row, ticks(1).dtype)["event_ms"][0])


@asynccontextmanager
async def client_of(home: Path, bridge: RunningBridge) -> AsyncGenerator[Client]:
    journal = await TickJournal.open(
        home,
        identity=JournalIdentity(tenant=IDENTITY.tenant, device=IDENTITY.device),
        limits=SpoolLimits(),
        clock=CLOCK,
        ids=IDS,
        keys=KEYS,
    )
    journal.offset = BrokerOffset(offset_s=0)
    uplink = TickUplink(journal, clock=CLOCK, metrics=Metrics())
    link = DirectLink(
        LinkAddress(host="localhost", port=1, server_name="localhost"),
        uplink,
        context=lambda: None,  # type: ignore[arg-type,return-value]
        profile=ClientProfile(software="test", life=str(IDS.new())),
        clock=CLOCK,
        randomness=NoJitter(),
        errors=ErrorHandler(
            clock=CLOCK,
            randomness=NoJitter(),
            metrics=Metrics(),
            resilience=ResilienceRegistry(),
        ),
    )
    link.socket = bridge.socket
    uplink.link = link
    await uplink.start()
    try:
        yield Client(journal, link, uplink)
    finally:
        await link.stop()
        await uplink.stop()
        await journal.close()


@asynccontextmanager
async def copied_while_running(
    world: ServiceWorld, bridge: RunningBridge
) -> AsyncGenerator[tuple[Client, Path]]:
    """A client that runs and has sent a little more than the copy of its home knows."""
    bridge.devices.add(IDENTITY)
    home, copied = world.home / "one", world.home / "two"
    async with client_of(home, bridge) as client:
        await client.link.start()
        await client.feed(HISTORY[:COMMON])
        await client.until_done()
    await asyncio.to_thread(shutil.copytree, home, copied)
    async with client_of(home, bridge) as first:
        await first.link.start()
        await first.feed(HISTORY[: COMMON + 5])
        await first.until_done()
        yield first, copied


def a_history() -> TickArray:
    """Ticks of an instrument, each a millisecond after the one before."""
    rows = ticks(400, age_ms=10_000_000)
    rows["event_ms"] += np.arange(len(rows))
    return rows


HISTORY = a_history()


@async_test
async def test_no_acknowledged_tick_is_lost_between_two_copies(world: ServiceWorld) -> None:
    """The copy's terminal lacks a tick, so that its numbers mean other ticks."""
    async with (
        running_bridge(world, settings={"bridge.shared_quiet_s": "1"}) as bridge,
        copied_while_running(world, bridge) as (first, copied),
    ):
        lacking = np.delete(HISTORY, COMMON + 10)
        async with client_of(copied, bridge) as second:
            await second.feed(lacking[:COMMON])
            await second.link.start()
            await eventually(lambda: second.link.session is not None)
            await first.feed(HISTORY[: COMMON + 40])
            await second.feed(lacking[: COMMON + 60])
            await second.until_done()
        await first.feed(HISTORY[: COMMON + 90])
        await eventually(lambda: first.link.session is not None, what="the first is back")
        await first.until_done()
        await first.feed(HISTORY[: COMMON + 120])
        await first.until_done()
        for client in (first, second):
            await eventually(lambda one=client: not one.without_a_trace(bridge))
        [gap] = first.journal.gaps.newest
        assert gap.reason == REASON_SHARED


@async_test
async def test_the_one_that_comes_back_is_refused_and_both_are_told(world: ServiceWorld) -> None:
    async with (
        running_bridge(world) as bridge,
        copied_while_running(world, bridge) as (first, copied),
        client_of(copied, bridge) as second,
    ):
        await second.link.start()
        await eventually(lambda: first.link.last_error == LINK_DEVICE_SHARED.code)
        await eventually(lambda: second.link.warned_of == LINK_DEVICE_SHARED.code)
        assert bridge.devices.shared == [IDENTITY]
        await second.feed(HISTORY[: COMMON + 60])
        await second.until_done()
        assert (first.link.session, second.link.connections) == (None, 1)
        event = DeviceRevoked(device=IDENTITY.device, reason="shared", revoked_ns=1)
        bridge.devices.add(IDENTITY, state="revoked")
        await bridge.bus.publish(event, tenant=IDENTITY.tenant)
        await eventually(lambda: second.link.last_error == "LINK_DEVICE_REFUSED")


@async_test
async def test_what_another_client_sent_and_no_disk_has_answers_for_nobody(
    world: ServiceWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The older link's ticks wait for their sync while the newer one greets."""
    async with running_bridge(world) as bridge:
        bridge.devices.add(IDENTITY)
        older, newer = Device(IDENTITY), Device(IDENTITY)
        await older.open(bridge.socket, declared())
        disk = Event()
        monkeypatch.setattr(os, "fdatasync", lambda _file: disk.wait(20))
        older.send(ticks(50))
        directory = await bridge.get(StreamDirectory)
        await eventually(lambda: [one.received for one in directory] == [50])
        await newer.connect(bridge.socket, declared())
        await older.ended.wait()
        assert not newer.of(Established)
        disk.set()
        await eventually(lambda: newer.of(Established))
        assert newer.durable() == 50
