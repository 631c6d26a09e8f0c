"""Frames that are read together mean what they mean one by one."""

from uuid import UUID

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrading.core.domain.market import TICK_DTYPE, TickBatch, make_batch
from aitrading.core.protocol.link.burst import SAME_MOMENT_NS, are_followed, read_burst
from aitrading.core.protocol.link.events import Failed, Gap, TicksReceived
from aitrading.core.protocol.link.frames import FrameFlag, FrameType, encode_frame, encode_ticks
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
from aitrading.core.protocol.tracecontext import is_followed
from aitrading.core.testing.manual_clock import ManualClock

LIMITS = LinkLimits(window_ticks=40, batch_ticks_max=3)
STREAMS = (1, 2)
BEGAN_NS = ManualClock().now_ns()


def batch(first: int, count: int = 1, **changes: object) -> TickBatch:
    rows = np.zeros(count, TICK_DTYPE)
    rows["event_ms"] = range(first, first + count)
    made = make_batch(UUID(int=9), first, rows, receive_ns=BEGAN_NS, broker_offset_s=7_200)
    return msgspec.structs.replace(made, **changes)


def open_server() -> ServerSession:
    clock = ManualClock()
    client = ClientSession(clock, ClientProfile(software="client"))
    profile = ServerProfile(
        tenant=UUID(int=1), device=UUID(int=2), software="server", limits=LIMITS
    )
    server = ServerSession(clock, profile)
    client.start(
        [
            StreamDeclaration(
                handle=handle, broker="Demo", login=5, symbol=f"S{handle}", epoch=1, digits=5
            )
            for handle in STREAMS
        ]
    )
    for message in client.outgoing():
        server.receive(message)
    server.accept("s", dict.fromkeys(STREAMS, StreamPosition(0, 0)))
    server.outgoing()
    return server


def tamper(frame: bytes, place: int) -> bytes:
    place %= len(frame)
    return frame[:place] + bytes((frame[place] ^ 1,)) + frame[place + 1 :]


@st.composite
def traffic(draw: st.DrawFn) -> list[bytes]:
    """Mostly ticks in order, with everything in between that a peer can do wrong."""
    sequences = dict.fromkeys((*STREAMS, 3), 1)
    sent: list[bytes] = []
    for _ in range(draw(st.integers(1, 40))):
        handle = draw(
            st.sampled_from([1, 1, 1, 1, 2, 2, 3]) if draw(st.booleans()) else st.just(1)
        )
        count = draw(st.sampled_from([1, 1, 1, 1, 2, 3, 4]))
        step = draw(st.sampled_from([0] * 30 + [1, -1, -2]))
        first = max(1, sequences[handle] + step)
        rows = batch(
            first,
            count,
            receive_ns=BEGAN_NS + draw(st.sampled_from([0, 0, 0, SAME_MOMENT_NS])),
            broker_offset_s=draw(st.sampled_from([7_200] * 8 + [10_800])),
            trace_id=draw(st.sampled_from([bytes(16), b"\x01" * 16, b"\x01" * 15 + b"\x00"])),
        )
        after_gap = draw(st.sampled_from([False] * 20 + [True]))
        frame = encode_ticks(handle, rows, link_delay_us=7, after_gap=after_gap)
        sequences[handle] = max(sequences[handle], first + count)
        if draw(st.integers(0, 60)) == 0:
            frame = tamper(frame, draw(st.integers(0, 200)))
        sent.append(frame)
        if draw(st.integers(0, 30)) == 0:
            sent.append(encode_frame(draw(st.sampled_from([FrameType.PONG, 200])), bytes(72)))
    return sent


def rows_told(events: list[object]) -> list[tuple[object, ...]]:
    """Every row with what is known of it, however the rows were grouped; and everything else."""
    told: list[tuple[object, ...]] = []
    for event in events:
        match event:
            case TicksReceived():
                told += [
                    (event.handle, event.batch.first_sequence + index, row)
                    for index, row in enumerate(event.batch.array().tolist())
                ]
            case Gap():
                told.append(("gap", event.handle, event.first_missing, event.last_missing))
            case Failed():
                told.append(("failed", event.error.code, event.error.fields))
            case _:
                told.append((type(event).__name__,))
    return told


@given(traffic(), st.integers(1, 40))
def test_whatever_comes_the_same_rows_are_taken_and_the_same_is_refused(
    messages: list[bytes], together: int
) -> None:
    one_by_one, in_bursts = open_server(), open_server()
    singly = [event for message in messages for event in one_by_one.receive(message)]
    jointly = [
        event
        for start in range(0, len(messages), together)
        for event in in_bursts.receive_all(messages[start : start + together])
    ]
    assert rows_told(jointly) == rows_told(singly)
    assert in_bursts.state is one_by_one.state
    assert in_bursts.unacknowledged == one_by_one.unacknowledged
    assert in_bursts.outgoing() == one_by_one.outgoing()
    assert in_bursts.statistics() == one_by_one.statistics()


def test_ticks_of_one_moment_become_one_batch() -> None:
    server = open_server()
    frames = [encode_ticks(1, batch(first), link_delay_us=3) for first in range(1, 31)]
    (event,) = server.receive_all(frames)
    assert isinstance(event, TicksReceived)
    assert (event.batch.first_sequence, event.batch.count) == (1, 30)
    assert event.batch.receive_ns == BEGAN_NS
    assert event.batch.broker_offset_s == 7_200
    assert event.link_delay_us == 3
    server.acknowledge(1, 30)
    assert server.unacknowledged == 0


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"broker_offset_s": 10_800}, "the broker's clock changed"),
        ({"receive_ns": BEGAN_NS + SAME_MOMENT_NS}, "it was taken later"),
        ({"trace_id": b"\x07" * 15 + b"\x00"}, "its way is logged"),
    ],
)
def test_what_does_not_belong_together_stays_apart(changed: dict[str, object], why: str) -> None:
    frames = [encode_ticks(1, batch(first)) for first in range(1, 6)]
    frames += [encode_ticks(1, batch(6, **changed))]
    pieces = read_burst(frames, batch_ticks_max=3)
    assert [piece.frames for piece in pieces] == [5, 1], why


def test_what_a_peer_may_not_do_ends_the_burst_before_it() -> None:
    frames = [encode_ticks(1, batch(first)) for first in range(1, 6)]
    frames.insert(3, encode_ticks(1, batch(4), after_gap=True))
    assert FrameFlag.AFTER_GAP
    assert sum(piece.frames for piece in read_burst(frames, batch_ticks_max=3)) == 3


def test_a_burst_over_the_window_ends_the_link() -> None:
    server = open_server()
    frames = [encode_ticks(1, batch(first)) for first in range(1, 2 * LIMITS.window_ticks + 2)]
    events = server.receive_all(frames)
    assert isinstance(events[-1], Failed)
    assert events[-1].error.code == "LINK_LIMIT_EXCEEDED"
    assert server.state is SessionState.CLOSED


@given(st.lists(st.binary(min_size=16, max_size=16) | st.just(bytes(16)), min_size=1))
def test_which_traces_are_followed_is_one_rule(ids: list[bytes]) -> None:
    ids += [each[:-1] + b"\x00" for each in ids]
    rows = np.frombuffer(b"".join(ids), np.uint8).reshape(-1, 16)
    assert are_followed(rows).tolist() == [is_followed(each) for each in ids]
