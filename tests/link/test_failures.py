"""Bad input and failures of the link, one after the other, and what must be true after each.

`docs/explanation/failures.md` tells which test shows what, those elsewhere too.
"""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from tests.link.wire import Budget, CutWire, Desk, open_desk

from aitrading.core.domain.feed_state import FeedState
from aitrading.core.domain.market import ROW_BYTES, make_batch
from aitrading.core.infrastructure.events import DeviceRevoked
from aitrading.core.infrastructure.spool import SpoolLimits
from aitrading.core.infrastructure.spool_errors import SPOOL_FULL
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import DeviceId, TenantId
from aitrading.core.protocol.link.frames import encode_ticks
from aitrading.core.security.certificates import DeviceIdentity
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.server.data_bridge.device_link import FAULTS
from aitrading.server.data_bridge.feeds import FeedWatch
from aitrading.server.data_bridge.streams import FeedKey
from aitrading.server.kit.peer_errors import PEER_UNREACHABLE
from aitrading.server.testing.bridge import RunningBridge, running_bridge
from aitrading.server.testing.probe_device import OFFSET_S, Device, declared, ticks
from aitrading.server.testing.services import ServiceWorld

IDENTITY = DeviceIdentity(tenant=TenantId(UUID(int=1)), device=DeviceId(UUID(int=11)))
VECTORS = Path(__file__).parents[2] / "core/tests/vectors/link_v1.json"
SETTINGS = {
    "bridge.segment_age_ms": "200",
    "bridge.faults_limit": "100",
    "limits.connections_per_minute": "100000",
}
SMALL = SpoolLimits(segment_bytes=1_000, limit_bytes=2_000_000)
AWAY = PEER_UNREACHABLE.error(peer="database-service", reason="test")


@dataclass
class World:
    """A bridge, a client, and the wire between them."""

    bridge: RunningBridge
    desk: Desk
    wire: CutWire

    async def connect(self) -> None:
        """A link that lives."""
        if not self.desk.is_linked:
            await eventually(lambda: self.desk.connect(self.wire.place), what="a connection")

    async def hang_up(self) -> None:
        """End the link without a word."""
        self.desk.cut()
        await self.desk.until_lost()

    async def goes_on(self) -> None:
        """Whatever was: the client comes back, and new ticks are acknowledged."""
        await self.connect()
        await self.desk.take(5)
        await self.desk.until_acknowledged()

    async def require_truth(self) -> None:
        """Each acknowledged tick stored once, each gap in the ledger, the feed's state true."""
        last = self.desk.stream.next_sequence - 1
        await eventually(lambda: self.stored() and max(self.stored()) == last, what="hand-over")
        stored = self.stored()
        taken = b"".join(rows.tobytes() for rows in self.desk.taken)
        for sequence, row in stored.items():
            assert row == taken[(sequence - 1) * ROW_BYTES : sequence * ROW_BYTES]
        missing = set(range(1, last + 1)) - set(stored)
        await eventually(lambda: self.told_gaps() == missing, what="the ledger")
        assert self.bridge.store.copies() == 0
        watch = await self.bridge.get(FeedWatch)
        key = FeedKey("EURUSD", IDENTITY.device, "Simulated-Demo", 50_000_001)

        async def ticks_are_live() -> bool:
            await self.desk.take(1)  # the last ones may be old: a busy machine took its time
            return watch.state(key) is FeedState.LIVE

        await eventually(ticks_are_live, what="a live feed")
        await self.hang_up()
        await eventually(lambda: watch.state(key) is FeedState.STALE, what="a stale feed")

    def stored(self) -> dict[int, bytes]:
        """Rows of the client's stream by sequence."""
        return self.bridge.store.rows().get(self.desk.stream.id, {})

    def told_gaps(self) -> set[int]:
        """What the ledger was told to be missing."""
        return {
            sequence
            for truth in self.bridge.store.truths
            for gap in truth.gaps
            if gap.stream == self.desk.stream.id and gap.first and gap.last
            for sequence in range(gap.first, gap.last + 1)
        }

    def ticks_frame(self, first: int, count: int) -> bytes:
        """A frame of ticks as the client would send it."""
        batch = make_batch(
            self.desk.stream.id,
            first,
            np.concatenate(self.desk.taken)[first - 1 : first - 1 + count]
            if first + count <= self.desk.stream.next_sequence
            else ticks(count, first=first),
            receive_ns=0,
            broker_offset_s=OFFSET_S,
        )
        return encode_ticks(1, batch, link_delay_us=0, after_gap=False)


@asynccontextmanager
async def world_of(
    services: ServiceWorld, limits: SpoolLimits | None = None
) -> AsyncGenerator[World]:
    async with (
        running_bridge(services, settings=SETTINGS) as bridge,
        CutWire(bridge.socket, services.home / "wire.sock") as wire,
        open_desk(services.home / "journal", IDENTITY, limits=limits) as desk,
    ):
        bridge.devices.add(IDENTITY)
        made = World(bridge, desk, wire)
        await made.goes_on()
        yield made


async def refused(world: World, *messages: bytes) -> None:
    """Each of these messages ends the link, by the device's fault."""
    for message in messages:
        await world.connect()
        await world.goes_on()
        world.desk.closed.clear()
        world.desk.raw(message)
        await world.desk.until_lost()
        assert set(world.desk.closed) <= FAULTS, message.hex()


async def random_bytes(world: World) -> None:
    random = np.random.default_rng(5)
    await refused(world, b"", *(random.bytes(size) for size in (1, 31, 32, 33, 500, 60_000)))


async def bad_frames(world: World) -> None:
    """The zoo of the shared vectors: truncated, oversized, of another version, altered, too large."""
    bad = json.loads(VECTORS.read_text())["bad"]
    await refused(world, *(bytes.fromhex(one["hex"]) for one in bad if one["stage"] == "frame"))


async def cut_frames(world: World) -> None:
    good = world.ticks_frame(1, 2)
    await refused(world, *(good[:size] for size in range(0, len(good), 7)), good + b"x")


async def oversized(world: World) -> None:
    await refused(world, bytes(70_000))


async def replayed(world: World) -> None:
    for first, count in ((1, 5), (2, 3), (1, 1)):
        world.desk.raw(world.ticks_frame(first, count))
    await world.goes_on()
    assert world.desk.closed == []


async def undeclared_jump(world: World) -> None:
    await refused(world, world.ticks_frame(world.desk.stream.next_sequence + 100, 3))


async def lost_on_disk(world: World) -> None:
    """A damaged file of the client's spool: a gap that is told, and the rest arrives."""
    await world.hang_up()
    for _ in range(12):
        await world.desk.take(7)
    [*_, damaged, _newest] = world.desk.journal.spool.sealed()
    data = bytearray(damaged.path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    damaged.path.write_bytes(data)
    await world.goes_on()
    assert world.desk.journal.gaps.added == 1


async def second_client(world: World) -> None:
    """Another program with the same certificate: the newer link is the one that counts."""
    for _ in range(3):
        other = Device(IDENTITY)
        await other.open(world.bridge.socket, declared(symbol="GBPUSD"))
        await world.desk.until_lost()
        assert world.desk.closed[-1:] == ["LINK_SUPERSEDED"]
        await world.goes_on()
        await other.ended.wait()


async def revoked(world: World) -> None:
    """In the middle of a stream; nothing more is taken until the device may come again."""
    world.bridge.devices.add(IDENTITY, state="revoked")
    await world.bridge.bus.publish(
        DeviceRevoked(device=IDENTITY.device, reason="stolen", revoked_ns=1),
        tenant=IDENTITY.tenant,
    )
    await world.desk.until_lost()
    await world.desk.take(5)
    assert await world.desk.connect(world.wire.place)
    await world.desk.until_lost()
    assert world.desk.uplink.pending_ticks == 5
    world.bridge.devices.add(IDENTITY)


async def database_away(world: World) -> None:
    world.bridge.store.failure = AWAY
    await world.goes_on()
    world.bridge.store.failure = None


async def full_client(world: World) -> None:
    """The client's spool is full: the terminal keeps what is not taken."""
    await world.hang_up()
    while await took(world.desk, 1_000):
        pass
    await world.connect()
    await eventually(lambda: took(world.desk, 1_000), what="room")


async def took(desk: Desk, count: int) -> bool:
    try:
        await desk.take(count)
    except AitradingError as exc:
        if exc.spec is not SPOOL_FULL:
            raise
        return False
    return True


Failure = Callable[[World], Awaitable[None]]
FAILURES: dict[str, Failure] = {
    "random bytes": random_bytes,
    "bad frames": bad_frames,
    "cut frames": cut_frames,
    "oversized": oversized,
    "replayed batch": replayed,
    "undeclared jump": undeclared_jump,
    "lost on the client's disk": lost_on_disk,
    "two clients": second_client,
    "revoked in mid-stream": revoked,
    "database away": database_away,
    "client full": full_client,
}


@pytest.mark.parametrize("failure", FAILURES)
@async_test
async def test_after_a_failure_everything_is_true(world: ServiceWorld, failure: str) -> None:
    async with world_of(world, SMALL) as at:
        await FAILURES[failure](at)
        await at.goes_on()
        await at.require_truth()


@pytest.mark.parametrize("way", ["up", "down"])
@async_test
async def test_a_cut_at_every_byte_costs_no_tick(world: ServiceWorld, way: str) -> None:
    """Upgrade, greeting and ticks one way; answer, grants and acknowledgements the other."""
    async with world_of(world) as at:
        await at.hang_up()
        await at.goes_on()
        whole, cuts = at.wire.carried[way], 0
        for size in range(1, whole + 1):
            await at.hang_up()
            if size % 16 == 0:  # what waits stays as small as a frame or two
                await at.goes_on()
                await at.hang_up()
            await at.desk.take(2)
            at.wire.budget = Budget(**{way: size})
            if await at.desk.connect(at.wire.place):
                await at.desk.until(
                    lambda: not at.desk.is_linked or not at.desk.uplink.pending_ticks,
                    f"the end after {size} bytes",
                )
            cuts += not at.desk.is_linked
            at.wire.budget = Budget()
        await at.hang_up()
        assert whole > 500
        assert cuts > whole * 0.9
        await at.goes_on()
        await at.require_truth()
