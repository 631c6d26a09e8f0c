"""DAYS, GAPS and REPAIR: said where both sides know them, skipped where not."""

from uuid import UUID

import msgspec
import numpy as np

from aitrading.core.domain.market import TICK_DTYPE, make_batch
from aitrading.core.protocol.link.events import (
    DaysTold,
    Established,
    Failed,
    GapsTold,
    HelloReceived,
    RepairAsked,
    TicksReceived,
)
from aitrading.core.protocol.link.frames import FrameType, encode_control, encode_frame
from aitrading.core.protocol.link.messages import (
    DAY_TICKS_MAX,
    FEATURE_TRUTH,
    Days,
    DaySummary,
    FeedNote,
    GapNote,
    Gaps,
    Open,
    Repair,
    RepairDone,
    StreamDeclaration,
)
from aitrading.core.protocol.link.session import (
    ClientProfile,
    ClientSession,
    ServerProfile,
    ServerSession,
    StreamPosition,
)
from aitrading.core.testing.manual_clock import ManualClock

STREAM = StreamDeclaration(handle=1, broker="B", login=1, symbol="EURUSD", epoch=1, digits=5)
DAY = DaySummary(handle=1, day=20_785, ticks=3, digest="0" * 31 + "7", last_sequence=3)
REPAIR = Repair(gap=UUID(int=9), handle=1, from_ms=1, until_ms=2, expected=4)


class Pair:
    def __init__(self, features: tuple[str, ...] = (FEATURE_TRUTH,)) -> None:
        clock = ManualClock()
        self.client = ClientSession(clock, ClientProfile(software="c", features=features))
        profile = ServerProfile(tenant=UUID(int=1), device=UUID(int=2), software="s")
        self.server = ServerSession(clock, profile)
        self.at_server: list[object] = []
        self.at_client: list[object] = []
        self.client.start([STREAM])
        self.exchange()

    def exchange(self) -> None:
        for message in self.client.outgoing():
            for event in self.server.receive(message):
                self.at_server.append(event)
                if isinstance(event, HelloReceived):
                    self.server.accept("s", {1: StreamPosition(0, 0)})
        for message in self.server.outgoing():
            self.at_client += self.client.receive(message)


def test_days_and_gaps_arrive_as_they_were_said() -> None:
    pair = Pair()
    assert pair.client.features == (FEATURE_TRUTH,)
    days = Days(days=(DAY,))
    gaps = Gaps(
        gaps=(GapNote(stream=UUID(int=5), reason="lost", noticed_ns=1, first=2, last=3),),
        feeds=(FeedNote(handle=1, why="hidden in Market Watch"), FeedNote(handle=2)),
    )
    pair.client.tell_days(days)
    pair.client.tell_gaps(gaps)
    assert pair.server.ask_repair(REPAIR)
    pair.exchange()
    assert [one for one in pair.at_server if isinstance(one, DaysTold | GapsTold)] == [
        DaysTold(days), GapsTold(gaps),
    ]  # fmt: skip
    assert pair.at_client[-1] == RepairAsked(REPAIR)


def test_an_older_client_is_served_and_never_asked() -> None:
    pair = Pair(features=())
    assert pair.client.features == ()
    assert any(isinstance(one, Established) for one in pair.at_client)
    assert not pair.server.ask_repair(REPAIR)
    assert pair.server.outgoing() == []


def test_the_bytes_are_the_documented_ones() -> None:
    days = encode_control(FrameType.DAYS, Days(days=(DAY,)))
    assert days[9] == 144
    assert days[32:] == (
        b'{"days":[{"handle":1,"day":20785,"ticks":3,'
        b'"digest":"00000000000000000000000000000007","last_sequence":3}]}'
    )
    assert (FrameType.GAPS, FrameType.REPAIR) == (145, 146)
    silent = Gaps(feeds=(FeedNote(handle=1, why="hidden"), FeedNote(handle=2)))
    assert encode_control(FrameType.GAPS, silent)[32:] == (
        b'{"feeds":[{"handle":1,"why":"hidden"},{"handle":2}]}'
    )
    assert encode_control(FrameType.REPAIR, REPAIR)[32:] == (
        b'{"gap":"00000000-0000-0000-0000-000000000009","handle":1,"from_ms":1,"until_ms":2,'
        b'"expected":4}'
    )


def test_history_is_told_apart_from_news() -> None:
    pair = Pair()
    for is_history in (False, True):
        rows = np.zeros(2, TICK_DTYPE)
        first = pair.client.next_sequence(1)
        batch = make_batch(UUID(int=1), first, rows, receive_ns=0, broker_offset_s=0)

        pair.client.send_ticks(1, msgspec.structs.replace(batch, is_history=is_history))
    pair.exchange()
    ticks = [one.batch.is_history for one in pair.at_server if isinstance(one, TicksReceived)]
    assert ticks == [False, True]


def test_a_terminals_odd_words_and_times_end_no_link() -> None:
    pair = Pair()
    gaps = Gaps(
        gaps=(GapNote(stream=UUID(int=5), reason="a\x00", noticed_ns=1, from_ms=-1),),
        repaired=(RepairDone(gap=UUID(int=5), stream=UUID(int=6), problem="\x00"),),
        feeds=(FeedNote(handle=1, why="\x00b"),),
    )
    days = Days(days=tuple(msgspec.structs.replace(DAY, day=day) for day in (-1, 1 << 40)))
    pair.client.tell_gaps(gaps)
    pair.client.tell_days(days)
    pair.exchange()
    assert pair.at_server[-2:] == [GapsTold(gaps), DaysTold(days)]


def test_nonsense_ends_the_link() -> None:
    absurd = msgspec.structs.replace(DAY, ticks=DAY_TICKS_MAX + 1)
    name = msgspec.structs.replace(STREAM, handle=2, broker="B\x00")
    for kind, body in (
        (FrameType.DAYS, msgspec.json.encode(Days(days=(absurd,)))),
        (FrameType.OPEN, msgspec.json.encode(Open(streams=(name,)))),
        (
            FrameType.DAYS,
            b'{"days":[{"handle":9,"day":1,"ticks":1,"digest":"0","last_sequence":1}]}',
        ),
        (FrameType.DAYS, b"[]"),
        (FrameType.GAPS, b'{"gaps":[{}]}'),
    ):
        pair = Pair()
        [event] = pair.server.receive(encode_frame(kind, body))
        assert isinstance(event, Failed)
