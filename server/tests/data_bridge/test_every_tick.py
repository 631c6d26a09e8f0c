"""Who wants every tick is sent them in turns of its own; what receives a batch does not know how many rows it has."""

import asyncio
import json
import random
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any
from unittest.mock import MagicMock
from uuid import UUID

import msgspec
import pytest
from picows import WSFrame, WSListener, WSMsgType, WSTransport
from typing_extensions import override

from aitrading.core.domain.feed_state import FeedState
from aitrading.core.domain.market import ROW_BYTES, TickBatch, make_batch
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.security.certificates import DeviceIdentity
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.server.data_bridge.fanout import FanOut
from aitrading.server.data_bridge.ingest import TickIngest
from aitrading.server.data_bridge.quotes import QuoteSource
from aitrading.server.data_bridge.streams import BridgeStream, StreamDirectory
from aitrading.server.data_bridge.subscriber import TURN_QUOTES_MAX, Subscriber
from aitrading.server.data_bridge.waiting_quotes import EVERY_TICK_QUEUE_MAX, TickRun
from aitrading.server.kit.both_clocks import AtMost
from aitrading.server.testing.bridge import RunningBridge, connect_as_edge, running_bridge
from aitrading.server.testing.probe_device import OFFSET_S, Device, declared, ticks
from aitrading.server.testing.probe_person import access_token
from aitrading.server.testing.services import ServiceWorld

LIVE = FeedState.LIVE
MANY = 50_000
BRANCHES = 2_000
"""Steps that may be more or fewer because something else was to be done, and not for each row."""
CONFLATED = b"aitrading_bridge_quotes_conflated_total "


class Everything(WSListener):
    """Somebody who asked for every tick, and counts what is told."""

    def __init__(self) -> None:
        self.sequences: list[int] = []
        self.is_told = False

    @override
    def on_ws_connected(self, transport: WSTransport) -> None:
        transport.send(WSMsgType.TEXT, b'{"type":"subscribe","every_tick":true}')
        transport.send(WSMsgType.TEXT, b'{"type":"ping"}')

    @override
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.TEXT:
            said = json.loads(frame.get_payload_as_bytes())
            self.is_told |= said["type"] == "pong"
            if said["type"] == "quote":
                self.sequences.append(said["sequence"])


async def everything(
    bridge: RunningBridge, world: ServiceWorld, one: DeviceIdentity
) -> Everything:
    listener = Everything()
    headers = {"authorization": f"Bearer {access_token(world, one.tenant)}"}
    await connect_as_edge(bridge.socket, "/api/v1/stream", listener, headers)
    await eventually(lambda: listener.is_told and listener.sequences)
    return listener


async def fed(bridge: RunningBridge, identity: DeviceIdentity) -> BridgeStream:
    """A stream with its first tick: what follows finds its feed as it is."""
    bridge.devices.add(identity)
    device = Device(identity)
    await device.open(bridge.socket, declared())
    await device.until_acknowledged(device.send(ticks(1)))
    [stream] = await bridge.get(StreamDirectory)
    return stream


def batch(stream: BridgeStream, count: int, *, first: int = 2) -> TickBatch:
    rows = ticks(count, first=first)
    return make_batch(stream.id, first, rows, receive_ns=0, broker_offset_s=OFFSET_S)


def steps_of(work: Callable[[], None]) -> int:
    """How many instructions of Python it takes."""
    steps = 0

    def trace(frame: FrameType, event: str, _arg: object) -> Any:
        nonlocal steps
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        steps += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return steps


@async_test
async def test_what_receives_a_batch_takes_as_many_steps_for_any_number_of_rows(
    world: ServiceWorld, identity: DeviceIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered: list[QuoteSource] = []
    render = QuoteSource.quote

    def counted(source: QuoteSource, state: FeedState) -> Any:
        rendered.append(source)
        return render(source, state)

    async with running_bridge(world) as bridge:
        stream = await fed(bridge, identity)
        listener = await everything(bridge, world, identity)
        ingest = await bridge.get(TickIngest)
        monkeypatch.setattr(QuoteSource, "quote", counted)
        few, many = batch(stream, 10), batch(stream, MANY, first=12)
        steps = [
            steps_of(lambda taken=taken: ingest.on_batch(stream, taken)) for taken in (few, many)
        ]
        assert not rendered
        assert steps[0] > 100
        assert steps[1] < steps[0] + BRANCHES
        await eventually(lambda: listener.sequences and listener.sequences[-1] == MANY + 11)
        assert listener.sequences[-EVERY_TICK_QUEUE_MAX - 1 : -1] == [
            *range(2, EVERY_TICK_QUEUE_MAX + 2)
        ]
        lost = MANY + 10 - EVERY_TICK_QUEUE_MAX - 1 + 1  # and one for who wants the newest alone
        metrics = await bridge.get(Metrics)
        assert CONFLATED + f"{lost}.0".encode() in metrics.render()


@async_test
async def test_two_who_want_every_tick_get_the_same_and_each_tick_is_rendered_once(
    world: ServiceWorld, identity: DeviceIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered: list[int] = []
    render = QuoteSource.quote

    def counted(source: QuoteSource, state: FeedState) -> Any:
        rendered.append(source.sequence)
        return render(source, state)

    async with running_bridge(world, settings={"stream.conflation_ms": "0"}) as bridge:
        stream = await fed(bridge, identity)
        both = [await everything(bridge, world, identity) for _ in range(2)]
        ingest = await bridge.get(TickIngest)
        monkeypatch.setattr(QuoteSource, "quote", counted)
        ingest.on_batch(stream, batch(stream, 1_000))
        for listener in both:
            await eventually(lambda one=listener: one.sequences[-1:] == [1_001])
            assert listener.sequences[-1_000:] == list(range(2, 1_002))
        assert sorted(rendered) == list(range(2, 1_002))


@async_test
async def test_others_work_between_two_turns_of_a_subscriber(
    world: ServiceWorld, identity: DeviceIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_bridge(world) as bridge:
        stream = await fed(bridge, identity)
        listener = await everything(bridge, world, identity)
        fan_out = await bridge.get(FanOut)
        ingest = await bridge.get(TickIngest)
        seen: list[int] = []
        send_turn, worked, free = Subscriber.send_turn, list[int](), list[bool]()

        def watched(subscriber: Subscriber) -> Any:
            free.append(len(worked) == len(seen))
            asyncio.get_running_loop().call_soon(worked.append, 1)
            sent = send_turn(subscriber)
            seen.append(sent.quotes)
            if len(seen) == 1:  # what comes in between comes behind what waits
                ingest.on_batch(stream, batch(stream, 5, first=EVERY_TICK_QUEUE_MAX + 2))
            return sent

        monkeypatch.setattr(Subscriber, "send_turn", watched)
        ingest.on_batch(stream, batch(stream, EVERY_TICK_QUEUE_MAX))
        assert [one.unconfirmed for one in fan_out.connections(identity.tenant)] == [
            EVERY_TICK_QUEUE_MAX
        ]
        last = EVERY_TICK_QUEUE_MAX + 6
        await eventually(lambda: listener.sequences[-1:] == [last])
        assert listener.sequences[-last + 1 :] == list(range(2, last + 1))
        assert max(seen) == TURN_QUOTES_MAX
        assert len(free) > 1
        assert all(free)


class Socket:
    """A subscriber whose socket remembers what was written."""

    def __init__(self) -> None:
        nobody = MagicMock()
        self.subscriber = Subscriber(
            nobody, nobody, nobody, connection=UUID(int=1), since_ns=0, ends=AtMost(1, 1)
        )
        self.transport = MagicMock(is_disconnected=False)
        self.subscriber.on_ws_connected(self.transport)
        self.subscriber.is_held = False
        self.subscriber.every_tick = True

    def told(self) -> Iterator[tuple[str, int]]:
        """Symbol and sequence of each quote."""
        for call in self.transport.underlying_transport.write.call_args_list:
            data = call.args[0]
            while data:
                assert data[:2] == b"\x81\x7e"
                end = 4 + int.from_bytes(data[2:4], "big")
                said, data = json.loads(data[4:end]), data[end:]
                yield said["symbol"], said["sequence"]


def source_of(symbol: str) -> QuoteSource:
    stream = BridgeStream(UUID(int=1), MagicMock(), declared(1, symbol))
    return QuoteSource(stream, 0, 108_000, 108_007, 1, 1)


def run_of(source: QuoteSource, count: int) -> TickRun:
    first = source.sequence + 1
    source.sequence += count
    return TickRun(source, batch(source.stream, count, first=first), LIVE)


@pytest.mark.parametrize("seed", range(8))
def test_whatever_waits_comes_in_order_and_every_tick_is_told_or_counted(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - chooses what happens
    socket = Socket()
    subscriber = socket.subscriber
    sources = [source_of(symbol) for symbol in ("EURUSD", "GBPUSD", "XAUUSD")]
    for _ in range(200):
        match chance.randrange(8):
            case 0:
                subscriber.pause_writing()
            case 1 | 2:
                subscriber.resume_writing()
            case 3 | 4:
                assert subscriber.send_turn().quotes <= TURN_QUOTES_MAX
            case _:
                count = chance.choice((1, 3, 400, 2_500))
                subscriber.offer_all(run_of(chance.choice(sources), count))
        assert subscriber.waiting <= EVERY_TICK_QUEUE_MAX + len(sources)
    subscriber.resume_writing()
    while subscriber.send_turn().quotes:
        pass
    told = list(socket.told())
    for source in sources:
        sequences = [sequence for symbol, sequence in told if symbol == source.stream.symbol]
        assert sequences == sorted(set(sequences))
        assert sequences[-1] == source.sequence
    assert len(told) + subscriber.conflated == sum(source.sequence for source in sources)


def test_who_is_shown_nothing_any_more_gets_nothing_of_what_waits() -> None:
    socket = Socket()
    socket.subscriber.offer_all(run_of(source_of("EURUSD"), 3_000))
    assert socket.subscriber.send_turn().quotes == TURN_QUOTES_MAX
    socket.subscriber.hold()
    assert socket.subscriber.send_turn().quotes == 0
    assert len(list(socket.told())) == TURN_QUOTES_MAX


def test_a_run_keeps_of_a_large_batch_what_a_queue_can_take() -> None:
    source = source_of("EURUSD")
    large = batch(source.stream, MANY, first=1)
    source.sequence = MANY
    run = TickRun(source, msgspec.structs.replace(large, rows=memoryview(large.rows)), LIVE)
    sizes = [sys.getsizeof(getattr(run, name)) for name in TickRun.__slots__]
    assert sum(sizes) < EVERY_TICK_QUEUE_MAX * ROW_BYTES + 1_000
    first, last = [json.loads(one[4:]) for one in (*run.frames(0, 1), run.newest.frame)]
    assert (first["sequence"], first["bid"], first["ask"]) == (1, "1.08001", "1.08008")
    assert (last["sequence"], last["bid"]) == (MANY, "1.08000")  # the price the board has
