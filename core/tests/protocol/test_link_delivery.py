"""No silence, no doubt, no duplicates: both sessions over a wire that does its worst.

A model of the client (with its spool), of the bridge (with its spool) and of the wire between
them. Steps are chosen at random: frames are delivered, lost, repeated, damaged, the line is cut,
the bridge is killed before its sync, the client loses unsent rows for good. Whatever happened,
afterwards every tick is stored exactly once, in order, and what is missing was reported.
"""

import random
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aitrading.core.domain.market import TICK_DTYPE, TickBatch, make_batch
from aitrading.core.protocol.link.events import (
    Acknowledged,
    Established,
    Failed,
    Gap,
    HelloReceived,
    PeerClosed,
    StreamOpened,
    StreamsRequested,
    TicksReceived,
)
from aitrading.core.protocol.link.messages import StreamDeclaration
from aitrading.core.protocol.link.session import (
    ClientProfile,
    ClientSession,
    LinkLimits,
    ServerProfile,
    ServerSession,
    SessionState,
    StreamPosition,
)
from aitrading.core.testing.campaign import first_seed, points, report

TENANT, DEVICE = UUID(int=1), UUID(int=2)
LIMITS = LinkLimits(window_ticks=60, batch_ticks_max=16, streams_max=8)
STREAM_COUNT = 3
HEALING_ROUNDS = 400
QUICK_SEEDS = 30
SEED_STEPS = 400


class HandClock:
    """A clock that only the test moves."""

    def __init__(self) -> None:
        self.time_ns = 1_700_000_000_000_000_000

    def now_ns(self) -> int:
        return self.time_ns

    def monotonic_ns(self) -> int:
        return self.time_ns

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(f"a session never sleeps ({seconds} s)")


@dataclass
class ClientStream:
    """What the client's spool holds of one stream."""

    rows: deque[int] = field(default_factory=deque)
    last: int = 0
    lost: set[int] = field(default_factory=set)


@dataclass
class BridgeStream:
    """What the bridge stored, and what waits for its next sync."""

    durable: list[int] = field(default_factory=list)
    gaps: set[int] = field(default_factory=set)
    durable_sequence: int = 0
    waiting: list[tuple[str, int, int]] = field(default_factory=list)

    @property
    def received_sequence(self) -> int:
        return self.waiting[-1][2] if self.waiting else self.durable_sequence

    def sync(self) -> int:
        for kind, first, last in self.waiting:
            if kind == "gap":
                self.gaps.update(range(first, last + 1))
            else:
                self.durable += range(first, last + 1)
            self.durable_sequence = last
        self.waiting.clear()
        return self.durable_sequence


class World:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 - replayable
        self.clock = HandClock()
        self.client_streams = {handle: ClientStream() for handle in range(1, STREAM_COUNT + 1)}
        self.bridge_streams: dict[UUID, BridgeStream] = {}
        self.up: deque[bytes] = deque()
        self.down: deque[bytes] = deque()
        self.opened: set[int] = set()
        self.connects = 0
        self.connect()

    # the line

    def connect(self) -> None:
        self.connects += 1
        self.up.clear()
        self.down.clear()
        self.opened.clear()
        self.client = ClientSession(self.clock, ClientProfile(software="test", limits=LIMITS))
        self.server = ServerSession(
            self.clock,
            ServerProfile(tenant=TENANT, device=DEVICE, software="test", limits=LIMITS),
        )
        declared = [
            StreamDeclaration(
                handle=handle,
                broker="B",
                login=1,
                symbol=f"S{handle}",
                epoch=1,
                digits=5,
                last_sequence=stream.last,
            )
            for handle, stream in self.client_streams.items()
        ]
        self.client.start(declared[:2])
        self.later = declared[2:]
        self.flush()

    def flush(self) -> None:
        self.up += self.client.outgoing()
        self.down += self.server.outgoing()

    def reconnect_if_closed(self) -> None:
        if SessionState.CLOSED in (self.client.state, self.server.state):
            self.connect()

    # steps that the random walk takes

    def produce(self) -> None:
        stream = self.client_streams[self.random.randint(1, STREAM_COUNT)]
        for _ in range(self.random.randint(1, 20)):
            stream.last += 1
            stream.rows.append(stream.last)

    def send(self) -> None:
        for handle in sorted(self.opened):
            self.send_stream(handle, self.random.randint(1, 40))
        self.flush()

    def deliver_up(self) -> None:
        if self.up:
            self.to_server(self.up.popleft())

    def deliver_down(self) -> None:
        if self.down:
            self.to_client(self.down.popleft())

    def lose(self) -> None:
        queue = self.random.choice([self.up, self.down])
        if queue:
            del queue[self.random.randrange(len(queue))]

    def repeat(self) -> None:
        queue = self.random.choice([self.up, self.down])
        if queue:
            place = self.random.randrange(len(queue))
            queue.insert(place, queue[place])

    def damage(self) -> None:
        queue = self.random.choice([self.up, self.down])
        if queue:
            place = self.random.randrange(len(queue))
            frame = bytearray(queue[place])
            frame[self.random.randrange(len(frame))] ^= 1 << self.random.randrange(8)
            queue[place] = bytes(frame)

    def cut(self) -> None:
        self.connect()

    def kill_bridge(self) -> None:
        for stream in self.bridge_streams.values():
            stream.waiting.clear()
        self.connect()

    def sync(self) -> None:
        positions = {id_: stream.sync() for id_, stream in self.bridge_streams.items()}
        if self.server.state is SessionState.OPEN:
            for handle in self.opened:
                self.server.acknowledge(handle, positions[self.server.stream_id(handle)])
        self.flush()

    def forget_rows(self) -> None:
        """The client's disk limit makes it drop its oldest rows for good."""
        stream = self.client_streams[self.random.randint(1, STREAM_COUNT)]
        for _ in range(min(len(stream.rows), self.random.randint(1, 30))):
            stream.lost.add(stream.rows.popleft())

    def time_passes(self) -> None:
        self.clock.time_ns += self.random.choice([10**6, 10**9, 15 * 10**9])
        self.note(self.client.poll())
        self.note(self.server.poll())
        self.flush()

    # both ends

    def send_stream(self, handle: int, count: int) -> None:
        stream = self.client_streams[handle]
        if self.client.state is not SessionState.OPEN:
            return
        following = self.client.next_sequence(handle)
        ready = [row for row in stream.rows if row >= following]
        ready = ready[: min(count, self.client.room())]
        contiguous = [row for place, row in enumerate(ready) if row == ready[0] + place]
        if contiguous:
            jumped = contiguous[0] > following
            self.client.send_ticks(handle, batch_of(contiguous), after_gap=jumped)

    def to_server(self, message: bytes) -> None:
        for event in self.server.receive(message):
            match event:
                case HelloReceived(hello):
                    handles = [one.handle for one in hello.streams]
                    self.server.accept("session", self.positions(handles))
                case StreamsRequested(declarations):
                    self.server.grant(self.positions([one.handle for one in declarations]))
                case Gap(handle, first, last):
                    stream = self.bridge_streams[self.server.stream_id(handle)]
                    stream.waiting.append(("gap", first, last))
                case TicksReceived(_, batch, _):
                    rows = batch.array()["event_ms"].tolist()
                    assert rows == list(range(batch.first_sequence, batch.last_sequence + 1))
                    stream = self.bridge_streams[batch.stream]
                    stream.waiting.append(("rows", batch.first_sequence, batch.last_sequence))
                case Failed() | PeerClosed():
                    pass
        self.flush()

    def positions(self, handles: list[int]) -> dict[int, StreamPosition]:
        found = {}
        for handle in handles:
            stream = self.bridge_streams.setdefault(self.server.stream_id(handle), BridgeStream())
            found[handle] = StreamPosition(stream.durable_sequence, stream.received_sequence)
        return found

    def to_client(self, message: bytes) -> None:
        self.note(self.client.receive(message))
        if self.client.state is SessionState.OPEN and self.later:
            self.client.open_streams(self.later)
            self.later = []
        self.flush()

    def note(self, events: list[object]) -> None:
        for event in events:
            match event:
                case StreamOpened(declaration, grant):
                    self.opened.add(declaration.handle)
                    self.forget_acknowledged(declaration.handle, grant.durable_sequence)
                case Acknowledged(handle, sequence):
                    self.forget_acknowledged(handle, sequence)
                case Established() | Failed() | PeerClosed():
                    pass

    def forget_acknowledged(self, handle: int, sequence: int) -> None:
        rows = self.client_streams[handle].rows
        while rows and rows[0] <= sequence:
            rows.popleft()

    # the end

    def heal(self) -> None:
        """The wire behaves from now on; everything must arrive by itself."""
        for stream in self.client_streams.values():
            if stream.last in stream.lost:  # a gap is told by the tick behind it
                stream.last += 1
                stream.rows.append(stream.last)
        for _ in range(HEALING_ROUNDS):
            self.reconnect_if_closed()
            if all(not stream.rows for stream in self.client_streams.values()):
                return
            self.send()
            while self.up or self.down:
                self.deliver_up()
                self.deliver_down()
            self.sync()
            while self.down:
                self.deliver_down()
            self.clock.time_ns += 10**9
            self.note(self.client.poll())
            self.note(self.server.poll())
            self.flush()
        raise AssertionError("the pair never caught up")

    def check(self) -> None:
        by_id = {stream_id_of(handle): handle for handle in self.client_streams}
        assert set(self.bridge_streams) <= set(by_id)
        for stream_id in by_id:
            self.bridge_streams.setdefault(stream_id, BridgeStream())
        for stream_id, stored in self.bridge_streams.items():
            stream = self.client_streams[by_id[stream_id]]
            assert stored.durable == sorted(set(stored.durable)), "doubled or out of order"
            everything = set(range(1, stream.last + 1))
            assert set(stored.durable) | stored.gaps == everything, "silently lost"
            assert not set(stored.durable) & stored.gaps, "reported lost but stored"
            assert stored.gaps <= stream.lost, "lost what the client still had"


def batch_of(rows: list[int]) -> TickBatch:
    array = np.zeros(len(rows), TICK_DTYPE)
    array["event_ms"] = rows
    return make_batch(UUID(int=0), rows[0], array, receive_ns=0, broker_offset_s=0)


def stream_id_of(handle: int) -> UUID:
    world = ServerSession(
        HandClock(), ServerProfile(tenant=TENANT, device=DEVICE, software="x", limits=LIMITS)
    )
    declaration = StreamDeclaration(
        handle=handle, broker="B", login=1, symbol=f"S{handle}", epoch=1, digits=5
    )
    return world.stream_id_of(declaration)


USUAL = ["produce", "send", "deliver_up", "deliver_down", "sync"]
FAULTS = ["lose", "repeat", "damage", "cut", "kill_bridge", "forget_rows", "time_passes"]


def survive(seed: int, steps: Iterable[str]) -> World:
    world = World(seed)
    for step in steps:
        getattr(world, step)()
        world.reconnect_if_closed()
    world.heal()
    world.check()
    return world


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 1 << 32),
    steps=st.lists(st.sampled_from(USUAL * 4 + FAULTS), min_size=20, max_size=150),
)
def test_every_tick_arrives_once_and_gaps_are_told(seed: int, steps: list[str]) -> None:
    survive(seed, steps)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("seed", range(5))
def test_one_kind_of_fault_again_and_again(seed: int, fault: str) -> None:
    walk = random.Random(f"{fault} {seed}")  # noqa: S311 - replayable
    survive(seed, walk.choices([*USUAL, fault], weights=[6, 6, 6, 6, 2, 1], k=1_500))


@pytest.mark.timeout(120 + points(QUICK_SEEDS))
def test_a_range_of_seeds_each_with_its_own_mixture_of_faults() -> None:
    """`make simulate SEEDS=n FIRST=k` runs any range; a seed always does the same."""
    tally = Counter({"ticks": 0, "connections": 0, "ticks_reported_lost": 0})
    for seed in range(first_seed(), first_seed() + points(QUICK_SEEDS)):
        try:
            world = survive(seed, mixture(seed))
        except AssertionError as broken:
            raise AssertionError(f"seed {seed}: make simulate SEEDS=1 FIRST={seed}") from broken
        tally["ticks"] += sum(len(one.durable) for one in world.bridge_streams.values())
        tally["ticks_reported_lost"] += sum(len(o.gaps) for o in world.bridge_streams.values())
        tally["connections"] += world.connects
    report(tally)


def mixture(seed: int) -> list[str]:
    """About half of the faults, each rare or frequent: a fault can hide what another shows."""
    walk = random.Random(f"mixture {seed}")  # noqa: S311 - replayable
    weights = [6.0] * len(USUAL)
    weights += [walk.choice([0, 0, 0.05, 0.3, 1, 2]) for _ in FAULTS]
    return walk.choices(USUAL + FAULTS, weights, k=SEED_STEPS)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1 << 32))
def test_without_faults_one_connection_is_enough(seed: int) -> None:
    world = World(seed)
    for _ in range(200):
        getattr(world, world.random.choice(USUAL))()
    world.heal()
    world.check()
    assert world.connects == 1
    assert all(not stream.gaps for stream in world.bridge_streams.values())
