"""What each end of a link does, one rule at a time."""

from dataclasses import replace
from uuid import UUID

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrading.core.domain.market import TICK_DTYPE, TickBatch, make_batch
from aitrading.core.domain.stream_days import TickMark
from aitrading.core.kit.errors import AitradingError
from aitrading.core.protocol.error_codes import LINK_GOING_AWAY, websocket_close_code
from aitrading.core.protocol.link import events, frames
from aitrading.core.protocol.link.frames import FrameFlag, FrameType, encode_frame
from aitrading.core.protocol.link.messages import (
    Hello,
    HelloAck,
    Open,
    StreamDeclaration,
    StreamGrant,
    Subscribe,
)
from aitrading.core.protocol.link.session import (
    ClientProfile,
    ClientSession,
    LinkLimits,
    Refusal,
    ServerProfile,
    ServerSession,
    SessionState,
    StreamPosition,
)
from aitrading.core.testing.manual_clock import ManualClock

LIMITS = LinkLimits(window_ticks=100, batch_ticks_max=10, streams_max=4)
TRACE, SPAN = bytes(range(1, 17)), bytes(range(1, 9))


def declared(handle: int = 1, **changes: object) -> StreamDeclaration:
    fields = {
        "handle": handle,
        "broker": "Demo",
        "login": 5,
        "symbol": f"SYM{handle}",
        "epoch": 1,
        "digits": 5,
        "last_sequence": 1_000,
    }
    return StreamDeclaration(**(fields | changes))


def batch(first: int, count: int, **changes: object) -> TickBatch:
    rows = np.zeros(count, TICK_DTYPE)
    rows["event_ms"] = range(first, first + count)
    made = make_batch(
        UUID(int=9),
        first,
        rows,
        receive_ns=ManualClock().now_ns() - 5_000_000,
        broker_offset_s=-3600,
        trace_id=TRACE,
        span_id=SPAN,
    )
    return msgspec.structs.replace(made, **changes)


class Pair:
    """Both ends, joined by a perfect wire that the test moves by hand."""

    def __init__(self, *declarations: StreamDeclaration, limits: LinkLimits = LIMITS) -> None:
        self.clock = ManualClock()
        self.client = ClientSession(
            self.clock, ClientProfile(software="client", features=("log", "new"))
        )
        self.server = ServerSession(
            self.clock,
            ServerProfile(
                tenant=UUID(int=1),
                device=UUID(int=2),
                software="server",
                limits=limits,
                epoch=3,
                features=("log", "old"),
                checkpoint="note",
            ),
        )
        self.client.start(declarations)

    def up(self) -> list[object]:
        return [
            event for message in self.client.outgoing() for event in self.server.receive(message)
        ]

    def down(self) -> list[object]:
        return [
            event for message in self.server.outgoing() for event in self.client.receive(message)
        ]

    def open(self, **positions: tuple[int, int]) -> list[object]:
        [greeting] = self.up()
        self.server.accept(
            "session-1",
            {
                one.handle: StreamPosition(*positions.get(f"h{one.handle}", (0, 0)))
                for one in greeting.hello.streams
            },
        )
        return self.down()


def opened(
    *declarations: StreamDeclaration, limits: LinkLimits = LIMITS, **positions: object
) -> Pair:
    pair = Pair(*(declarations or (declared(),)), limits=limits)
    pair.open(**positions)
    assert pair.client.state is pair.server.state is SessionState.OPEN
    return pair


def only(found: list[object], kind: type) -> object:
    assert [type(one) for one in found] == [kind]
    return found[0]


def failure(found: list[object]) -> str:
    return only(found, events.Failed).error.code


# the greeting


def test_the_greeting_tells_both_sides_everything() -> None:
    pair = Pair(declared(1), declared(2))
    hello = only(pair.up(), events.HelloReceived).hello
    assert (hello.software, hello.versions, hello.features) == ("client", (1,), ("log", "new"))
    assert [one.symbol for one in hello.streams] == ["SYM1", "SYM2"]
    pair.server.accept("session-1", {1: StreamPosition(7, 9), 2: Refusal("LINK_STREAM_CONFLICT")})
    established, first, second = pair.down()
    ack = established.ack
    assert (ack.session, ack.software, ack.epoch, ack.features) == (
        "session-1",
        "server",
        3,
        ("log",),
    )
    assert (ack.window_ticks, ack.batch_ticks_max, ack.checkpoint) == (100, 10, "note")
    assert ack.server_time_ns == pair.clock.now_ns()
    assert (first.declaration.handle, first.grant.durable_sequence) == (1, 7)
    assert pair.client.next_sequence(1) == 8
    assert second == events.StreamRefused(hello.streams[1], "LINK_STREAM_CONFLICT")


def test_a_stream_that_the_owner_forgets_is_refused() -> None:
    pair = Pair(declared())
    pair.up()
    pair.server.accept("s", {})
    assert pair.down()[1].code == "LINK_STREAM_UNKNOWN"


def test_a_stream_of_a_later_kind_is_refused_alone() -> None:
    pair = Pair(declared(1, kind="bars"), declared(2))
    _, first, second = pair.open()
    assert first.code == "LINK_FEATURE_UNKNOWN"
    assert type(second) is events.StreamOpened


def test_many_streams_are_declared_in_several_frames() -> None:
    limits = LinkLimits(streams_max=300)
    pair = Pair(*(declared(handle) for handle in range(1, 301)), limits=limits)
    assert len(pair.open()) == 129
    requests = pair.up()
    assert [len(one.declarations) for one in requests] == [128, 44]
    for request in requests:
        pair.server.grant({one.handle: StreamPosition(0, 0) for one in request.declarations})
    assert [type(one) for one in pair.down()] == [events.StreamOpened] * 172


def test_more_streams_than_allowed_end_the_link() -> None:
    pair = Pair(*(declared(handle) for handle in range(1, 6)))
    assert failure(pair.up()) == "LINK_LIMIT_EXCEEDED"


@pytest.mark.parametrize("other", [declared(1, symbol="X"), declared(2, symbol="SYM1")])
def test_a_handle_or_a_stream_is_opened_once(other: StreamDeclaration) -> None:
    pair = opened()
    pair.server.receive(frames.encode_control(FrameType.OPEN, Open(streams=(other,))))
    assert pair.server.state is SessionState.CLOSED


def test_requests_that_wait_for_their_answer_are_counted() -> None:
    pair = Pair(limits=replace(LIMITS, streams_max=4))
    pair.open()
    request = frames.encode_control(frames.FrameType.OPEN, Open(streams=()))
    for _ in range(4):
        assert pair.server.receive(request) == [events.StreamsRequested(())]
    [failed] = pair.server.receive(request)
    assert isinstance(failed, events.Failed)
    assert failed.error.code == "LINK_LIMIT_EXCEEDED"


def test_a_server_that_remembers_more_than_the_client_is_believed() -> None:
    pair = Pair(declared(last_sequence=5))
    found = pair.open(h1=(6, 6))
    ahead = StreamGrant(handle=1, durable_sequence=6)
    assert found[1] == events.StreamAhead(declared(last_sequence=5), ahead)
    with pytest.raises(AitradingError) as caught:
        pair.client.send_ticks(1, batch(7, 1))
    assert caught.value.code == "LINK_STREAM_UNKNOWN"


def test_the_newest_durable_tick_is_told_and_a_stream_is_resumed_behind_it() -> None:
    pair = Pair(declared(last_sequence=5))
    pair.up()
    mark = TickMark(6, 1_700_000_000_123, "0f" * 16)
    pair.server.accept("s", {1: StreamPosition(6, 6, mark)})
    [_, ahead] = pair.down()
    assert (ahead.grant.durable_ms, ahead.grant.durable_digest) == mark[1:]
    pair.client.resume(1)
    pair.client.send_ticks(1, batch(5, 4))
    received = only(pair.up(), events.TicksReceived)
    assert (received.batch.first_sequence, received.batch.count) == (7, 2)
    with pytest.raises(AitradingError) as caught:
        pair.client.resume(1)
    assert caught.value.code == "LINK_STREAM_UNKNOWN"


def test_the_grants_bytes_are_the_documented_ones() -> None:
    grant = StreamGrant(handle=1, durable_sequence=6, durable_ms=7, durable_digest="0f" * 16)
    assert msgspec.json.encode(grant) == (
        b'{"handle":1,"durable_sequence":6,"durable_ms":7,'
        b'"durable_digest":"0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"}'
    )


def test_versions_without_a_common_one_end_the_link() -> None:
    hello = Hello(software="x", versions=(2, 3), client_time_ns=0, frame_bytes_max=65_536)
    pair = Pair()
    found = pair.server.receive(frames.encode_control(FrameType.HELLO, hello))
    assert failure(found) == "LINK_VERSION_UNSUPPORTED"
    closed = only(pair.down(), events.PeerClosed)
    assert closed.notice.code == "LINK_VERSION_UNSUPPORTED"


def test_the_smaller_frame_limit_counts() -> None:
    pair = Pair(declared(), limits=LinkLimits(frame_bytes_max=4_096, batch_ticks_max=2_048))
    pair.open()
    assert pair.client.limits.frame_bytes_max == 4_096
    assert pair.client.limits.batch_ticks_max == (4_096 - 32 - 48) // 24
    pair.client.send_ticks(1, batch(1, 500))
    assert sum(event.batch.count for event in pair.up()) == 500


def test_an_impossible_name_ends_the_link() -> None:
    for symbol, code in (("E\x01", "INSTRUMENT_MALFORMED"), ("E\x00", "LINK_FRAME_MALFORMED")):
        assert failure(Pair(declared(symbol=symbol)).up()) == code


# ticks


def test_a_batch_arrives_as_it_was() -> None:
    pair = opened()
    pair.client.send_ticks(1, batch(1, 3))
    received = only(pair.up(), events.TicksReceived)
    assert received.batch.stream == pair.server.stream_id(1)
    assert received.batch.array().tobytes() == batch(1, 3).array().tobytes()
    assert (received.batch.trace_id, received.batch.span_id) == (TRACE, SPAN)
    assert (received.batch.broker_offset_s, received.link_delay_us) == (-3600, 5_000)
    assert received.batch.receive_ns == batch(1, 1).receive_ns


def test_a_large_batch_is_split_and_only_its_first_part_follows_the_gap() -> None:
    pair = opened()
    pair.client.send_ticks(1, batch(6, 25), after_gap=True)
    gap, *parts = pair.up()
    assert gap == events.Gap(1, 1, 5)
    assert [(part.batch.first_sequence, part.batch.count) for part in parts] == [
        (6, 10),
        (16, 10),
        (26, 5),
    ]


def test_rows_sent_before_are_cut_off() -> None:
    pair = opened(h1=(4, 4))
    pair.client.send_ticks(1, batch(1, 6))
    assert only(pair.up(), events.TicksReceived).batch.first_sequence == 5
    pair.client.send_ticks(1, batch(1, 6))
    assert pair.up() == []


def test_rows_received_before_are_cut_off() -> None:
    pair = opened(h1=(2, 5))
    pair.client.send_ticks(1, batch(3, 6))
    received = only(pair.up(), events.TicksReceived).batch
    assert (received.first_sequence, received.array()["event_ms"].tolist()) == (6, [6, 7, 8])
    assert pair.server.statistics().duplicate_ticks == 3


def test_a_jump_that_is_not_declared_is_refused_on_both_sides() -> None:
    pair = opened()
    with pytest.raises(AitradingError) as caught:
        pair.client.send_ticks(1, batch(2, 1))
    assert caught.value.code == "LINK_SEQUENCE_JUMPED"
    assert failure(pair.server.receive(frames.encode_ticks(1, batch(2, 1)))) == caught.value.code


def test_a_flag_without_a_gap_changes_nothing() -> None:
    pair = opened()
    found = pair.server.receive(frames.encode_ticks(1, batch(1, 1), after_gap=True))
    assert [type(one) for one in found] == [events.TicksReceived]


def test_the_window_bounds_what_is_not_acknowledged() -> None:
    pair = opened()
    pair.client.send_ticks(1, batch(1, 90))
    assert pair.client.room() == 10
    with pytest.raises(AitradingError) as caught:
        pair.client.send_ticks(1, batch(91, 11))
    assert caught.value.code == "LINK_WINDOW_FULL"
    pair.up()
    pair.server.acknowledge(1, 90)
    assert pair.down() == [events.Acknowledged(1, 90)]
    assert pair.client.room() == 100


def test_a_sender_that_ignores_the_window_is_cut_off() -> None:
    pair = opened()
    found = []
    for first in range(1, 300, 10):
        found += pair.server.receive(frames.encode_ticks(1, batch(first, 10)))
    assert found[-1].error.code == "LINK_LIMIT_EXCEEDED"
    assert sum(type(one) is events.TicksReceived for one in found) == 20


def test_a_declared_gap_does_not_fill_the_window() -> None:
    pair = opened()
    pair.client.send_ticks(1, batch(1_000_000, 10), after_gap=True)
    assert pair.up()[0] == events.Gap(1, 1, 999_999)
    assert pair.server.state is SessionState.OPEN


def test_acknowledgements_of_many_streams_travel_together() -> None:
    pair = opened(declared(1), declared(2))
    for handle in (1, 2):
        pair.client.send_ticks(handle, batch(1, 5))
    pair.up()
    for sequence in (2, 5):
        pair.server.acknowledge(1, sequence)
    pair.server.acknowledge(2, 5)
    messages = pair.server.outgoing()
    assert len(messages) == 1
    assert pair.client.receive(messages[0]) == [
        events.Acknowledged(1, 5),
        events.Acknowledged(2, 5),
    ]
    assert pair.client.receive(messages[0]) == []


def test_what_an_earlier_link_sent_may_be_acknowledged_before_it_is_sent_again() -> None:
    pair = opened(h1=(2, 5))
    pair.server.acknowledge(1, 5)
    assert pair.down() == [events.Acknowledged(1, 5)]
    assert pair.client.next_sequence(1) == 6


def test_acknowledging_what_nobody_sent_ends_the_link() -> None:
    pair = opened(declared(last_sequence=10))
    pair.server.acknowledge(1, 11)
    assert failure(pair.down()) == "LINK_ORDER_VIOLATED"


def test_what_is_durable_is_not_taken_again() -> None:
    pair = opened()
    pair.client.send_ticks(1, batch(1, 8))
    messages = pair.client.outgoing()
    pair.server.acknowledge(1, 5)
    received = only(pair.server.receive(messages[0]), events.TicksReceived).batch
    assert (received.first_sequence, received.count) == (6, 3)


def test_an_isolated_stream_leaves_the_others_alone() -> None:
    pair = opened(declared(1), declared(2))
    for handle in (1, 2):
        pair.client.send_ticks(handle, batch(1, 5))
    pair.up()
    pair.server.refuse_stream(1, "TICKS_MALFORMED", "bid is negative")
    pair.server.acknowledge(1, 5)
    pair.client.send_ticks(1, batch(6, 5))
    assert pair.up() == []
    refused = only(pair.down(), events.StreamRefused)
    assert (refused.declaration.handle, refused.code) == (1, "TICKS_MALFORMED")
    with pytest.raises(AitradingError):
        pair.client.send_ticks(1, batch(11, 1))
    pair.client.send_ticks(2, batch(6, 1))
    assert only(pair.up(), events.TicksReceived).batch.first_sequence == 6
    assert pair.client.room() == 94


def test_subscriptions_reach_the_client() -> None:
    pair = opened()
    wanted = Subscribe(revision=4, symbols=("EURUSD", "XAUUSD"))
    pair.server.subscribe(wanted)
    assert pair.down() == [events.Subscribed(wanted)]


# time


def pass_time(pair: Pair, seconds: float) -> None:
    pair.clock._move_to(pair.clock.monotonic_ns() + round(seconds * 1e9))


def test_each_end_pings_and_measures() -> None:
    pair = opened()
    pass_time(pair, 15)
    assert pair.client.poll() == pair.server.poll() == []
    pings = pair.client.outgoing()
    assert len(pings) == 1
    assert pair.server.receive(pings[0]) == []
    pass_time(pair, 0.05)
    found = pair.down()
    assert found == [events.LatencyMeasured(50_000_000, pair.clock.now_ns() - 50_000_000)]
    assert pair.client.receive(encode_frame(FrameType.PONG, bytes(16))) == []


@pytest.mark.parametrize("end", ["client", "server"])
def test_silence_ends_the_link(end: str) -> None:
    pair = opened()
    session = getattr(pair, end)
    pass_time(pair, 39.9)
    assert session.poll() == []
    pass_time(pair, 0.1)
    assert failure(session.poll()) == "LINK_SILENT"
    assert session.state is SessionState.CLOSED
    assert session.poll() == []


@pytest.mark.parametrize("end", ["client", "server"])
def test_a_greeting_does_not_take_for_ever(end: str) -> None:
    pair = Pair()
    pass_time(pair, 10)
    assert failure(getattr(pair, end).poll()) == "LINK_SILENT"


def test_a_server_that_stops_acknowledging_is_left() -> None:
    pair = opened()
    pair.client.send_ticks(1, batch(1, 5))
    pair.up()
    for _ in range(29):
        pass_time(pair, 1)
        assert pair.client.poll() == pair.server.poll() == []
        pair.up()
        pair.down()
    pass_time(pair, 1)
    assert failure(pair.client.poll()) == "LINK_NOT_ACKNOWLEDGED"


def test_progress_gives_the_server_new_time() -> None:
    pair = opened()
    for first in range(1, 90):
        pair.client.send_ticks(1, batch(first, 1))
        pair.up()
        if first > 10:
            pair.server.acknowledge(1, first - 10)
        pair.down()
        pass_time(pair, 1)
        assert pair.client.poll() == []
        pair.server.poll()


def test_streams_that_are_never_granted_end_the_link() -> None:
    pair = opened()
    pair.client.open_streams([declared(2)])
    pair.up()
    pass_time(pair, 30)
    assert failure(pair.client.poll()) == "LINK_NOT_ACKNOWLEDGED"


def test_a_flood_of_pings_is_stopped() -> None:
    pair = opened()
    ping = frames.encode_ping(FrameType.PING, frames.PingBody(1, 2))
    found = []
    for _ in range(30):
        found += pair.server.receive(ping)
        pair.server.outgoing()
    assert failure(found) == "LINK_LIMIT_EXCEEDED"


# ends


def test_the_peer_learns_why_and_when_to_come_back() -> None:
    pair = opened()
    pair.client.send_ticks(1, batch(1, 5))
    pair.up()
    pair.server.acknowledge(1, 5)
    pair.server.close(LINK_GOING_AWAY, retry_after_ms=1_500)
    acknowledged, closed = pair.down()
    assert acknowledged == events.Acknowledged(1, 5)
    assert (closed.notice.code, closed.notice.retry_after_ms) == ("LINK_GOING_AWAY", 1_500)
    assert pair.client.state is pair.server.state is SessionState.CLOSED
    assert pair.client.receive(b"anything") == pair.client.outgoing() == []
    assert websocket_close_code(LINK_GOING_AWAY) == 4503


def test_closing_twice_says_it_once() -> None:
    pair = opened()
    pair.client.close(LINK_GOING_AWAY)
    pair.client.close(LINK_GOING_AWAY)
    assert len(pair.client.outgoing()) == 1


@pytest.mark.parametrize(
    "message",
    [
        frames.encode_ticks(1, batch(1, 1)),
        frames.encode_control(FrameType.OPEN, Open(streams=())),
        frames.encode_ping(FrameType.PING, frames.PingBody(1, 1)),
        frames.encode_ping(FrameType.PONG, frames.PingBody(1, 1)),
        frames.encode_acks({1: 1}),
        frames.encode_control(
            FrameType.HELLO_ACK,
            HelloAck(
                version=1,
                session="s",
                software="s",
                server_time_ns=0,
                frame_bytes_max=65_536,
                batch_ticks_max=1,
                window_ticks=1,
                ping_interval_ms=100,
                idle_timeout_ms=200,
            ),
        ),
    ],
)
def test_nothing_but_hello_may_come_first(message: bytes) -> None:
    assert failure(Pair().server.receive(message)) in (
        "LINK_ORDER_VIOLATED",
        "LINK_FEATURE_UNKNOWN",
    )


def test_hello_comes_once() -> None:
    pair = Pair(declared())
    [message] = pair.client.outgoing()
    pair.server.receive(message)
    assert failure(pair.server.receive(message)) == "LINK_ORDER_VIOLATED"


@pytest.mark.parametrize("kind", [FrameType.LOG, FrameType.SIGNAL, 100, 127])
def test_an_unknown_frame_that_must_be_understood_ends_the_link(kind: int) -> None:
    assert failure(opened().server.receive(encode_frame(kind))) == "LINK_FEATURE_UNKNOWN"


@pytest.mark.parametrize("kind", [128, 200, 255])
def test_an_unknown_frame_that_may_be_skipped_is_skipped(kind: int) -> None:
    pair = opened()
    assert pair.server.receive(encode_frame(kind, b"later")) == []
    assert pair.client.receive(encode_frame(kind, b"later")) == []
    assert pair.server.state is pair.client.state is SessionState.OPEN


def test_an_unknown_flag_ends_the_link_only_if_it_must_be_understood() -> None:
    pair = opened()
    plain = frames.decode_frame(frames.encode_ticks(1, batch(1, 1)))
    low = encode_frame(FrameType.TICKS, plain.body, stream=1, sequence=1, flags=0x00FF)
    assert type(pair.server.receive(low)[0]) is events.TicksReceived
    high = encode_frame(FrameType.TICKS, plain.body, stream=1, sequence=2, flags=0x0200)
    assert failure(pair.server.receive(high)) == "LINK_FEATURE_UNKNOWN"
    assert FrameFlag.AFTER_GAP == 0x0100


def test_ticks_for_a_stream_nobody_opened_end_the_link() -> None:
    assert failure(opened().server.receive(frames.encode_ticks(2, batch(1, 1)))) == (
        "LINK_STREAM_UNKNOWN"
    )


@given(position=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_flipped_bit_never_becomes_an_event(position: int, bit: int) -> None:
    pair = opened()
    frame = bytearray(frames.encode_ticks(1, batch(1, 3)))
    frame[position % len(frame)] ^= 1 << bit
    failure(pair.server.receive(frame))
    assert pair.server.statistics().ticks == 0


@given(st.lists(st.binary(max_size=120), max_size=5))
def test_garbage_never_raises(messages: list[bytes]) -> None:
    for session in (opened().server, opened().client, Pair().server, Pair().client):
        for message in messages:
            session.receive(message)
        session.outgoing()


@given(kind=st.integers(0, 255), body=st.binary(max_size=200), flags=st.integers(0, 65_535))
def test_a_valid_frame_with_any_body_never_raises(kind: int, body: bytes, flags: int) -> None:
    message = encode_frame(kind, body, stream=1, sequence=1, flags=flags)
    for session in (opened().server, opened().client, Pair().server, Pair().client):
        session.receive(message)
        session.outgoing()


def test_calls_at_the_wrong_time_are_refused() -> None:
    pair = Pair(declared())
    for call in (
        lambda: pair.client.send_ticks(1, batch(1, 1)),
        lambda: pair.client.open_streams([]),
        pair.client.start,
        lambda: pair.server.accept("s", {}),
        lambda: pair.server.grant({}),
    ):
        with pytest.raises(AitradingError) as caught:
            call()
        assert caught.value.code == "LINK_STATE_WRONG"
    assert pair.client.room() == 0
