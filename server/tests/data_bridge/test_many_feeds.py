"""Thousands of feeds: what is quiet costs nothing, and no verdict is later than before."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from aitrading.core.domain.feed_state import FeedState
from aitrading.core.domain.market import TICK_DTYPE, make_batch
from aitrading.core.infrastructure.config_manager import ConfigManager
from aitrading.core.infrastructure.events import FeedStateChanged
from aitrading.core.kit.clock import NS_PER_S
from aitrading.core.kit.ids import DeviceId, TenantId
from aitrading.core.protocol.link.messages import StreamDeclaration
from aitrading.core.security.certificates import DeviceIdentity
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.kept_loops import Silent
from aitrading.core.testing.manual_clock import ManualClock, settle
from aitrading.server.data_bridge import feeds as feeds_module
from aitrading.server.data_bridge.announcer import REPEAT_NS, REPEAT_ROUNDS, ROUND_S, Announcer
from aitrading.server.data_bridge.calendars import Calendars
from aitrading.server.data_bridge.feeds import JUDGED_AT_ONCE, FeedNow, FeedWatch
from aitrading.server.data_bridge.flow import JUDGE_S
from aitrading.server.data_bridge.quotes import QuoteBoard
from aitrading.server.data_bridge.settings import BridgeSettings, FeedSettings
from aitrading.server.data_bridge.streams import BridgeStream, FeedKey
from aitrading.server.data_bridge.tick_rates import GAPS_WANTED, TickRates
from aitrading.server.data_bridge.verdicts import FeedView, Verdict, judge
from aitrading.server.kit.calendar_settings import CalendarSettings, CalendarWords
from aitrading.server.testing.bridge_twins import FolderTickStore

TENANTS = (TenantId(UUID(int=1)), TenantId(UUID(int=2)))
FRIDAY_EVENING = datetime(2026, 11, 27, 21, 50, tzinfo=UTC)
FIXED = FeedSettings(delayed_after_s=10, stale_after_s=60, dead_after_s=900)
STRICT = FeedSettings(delayed_after_s=3, stale_after_s=20, dead_after_s=100)


class Linked:
    def acknowledge(self, stream: BridgeStream) -> None: ...
    def flush(self) -> None: ...
    def close(self, spec: object, *, retry_after_ms: int = 0) -> None: ...


@dataclass
class Hall:
    """A watch over many streams, and what can happen to them."""

    folder: Path
    count: int
    bounds: FeedSettings = FIXED

    def __post_init__(self) -> None:
        self.clock = ManualClock(int(FRIDAY_EVENING.timestamp()) * NS_PER_S)
        self.store = FolderTickStore(self.folder)
        config = ConfigManager.load((CalendarSettings, FeedSettings))
        self.calendars = Calendars(self.store, config, self.clock)
        self.watch = FeedWatch(self.clock, lambda: self.bounds, self.calendars, TickRates())
        self.calendars.on_change = self.watch.calendar_changed
        self.board = QuoteBoard()
        self.streams = [self._stream(index) for index in range(self.count)]
        self.sequences = [0] * self.count

    def _stream(self, index: int) -> BridgeStream:
        tenant = TENANTS[index % 2]
        device = DeviceIdentity(tenant=tenant, device=DeviceId(UUID(int=100 + index)))
        symbol = ("EURUSD", "BTCUSD", "XAUUSD", "RANGE-7")[index % 4]
        said = StreamDeclaration(handle=1, broker="B", login=1, symbol=symbol, epoch=1, digits=5)
        stream = BridgeStream(UUID(int=index), device, said, on_change=self.watch.touched)
        stream.fed_by(Linked(), 1)
        return stream

    def tick(self, index: int, *, age_s: float = 0, count: int = 1, gap_ms: int = 0) -> None:
        rows = np.zeros(count, TICK_DTYPE)
        last_ms = self.clock.now_ns() // 1_000_000 - round(age_s * 1_000)
        rows["event_ms"] = last_ms - gap_ms * np.arange(count)[::-1]
        rows["bid"] = 1
        stream, first = self.streams[index], self.sequences[index] + 1
        self.sequences[index] += count
        batch = make_batch(stream.id, first, rows, receive_ns=0, broker_offset_s=0)
        source = self.board.update(stream, batch, self.clock.monotonic_ns())
        assert source is not None
        self.watch.ticked(source, batch)

    def true_verdict(self, watched: Any) -> Verdict:
        """What is true of a feed now, whenever it was judged."""
        return judge(self.watch._view(watched), self.bounds)

    def require_true(self) -> set[FeedState]:
        """The states of all, which must be those of now."""
        states = {watched.stream.id: watched.state for watched in self.watch._feeds.values()}
        true = {one.stream.id: self.true_verdict(one).state for one in self.watch._feeds.values()}
        assert states == true
        return {state for state in states.values() if state}

    async def walk(self, seconds: float) -> set[FeedState]:
        """Round by round; gives the states that feeds had on the way."""
        seen: set[FeedState] = set()
        for _ in range(round(seconds / JUDGE_S)):
            await self.clock.advance(JUDGE_S)
            self.judge_due()
            seen |= self.require_true()
        return seen

    async def told_words(self, sessions: str) -> None:
        """Both organisations say when markets are open."""
        for tenant in TENANTS:
            self.store.words[tenant] = CalendarWords(sessions=sessions)
        await self.calendars.refresh()

    def judge_due(self) -> int:
        """A round; gives how often others could work in it."""
        return sum(1 for _ in self.watch.judge_due())


@pytest.fixture
def hall(tmp_path: Path) -> Callable[[int], Hall]:
    return lambda count: Hall(tmp_path / "stored", count)


def something(hall: Hall, chance: random.Random) -> None:
    """What can happen to one feed, or to all."""
    index = chance.randrange(hall.count)
    stream = hall.streams[index]
    match chance.randrange(12):
        case 0 if stream.link is not None:
            stream.cut_from(stream.link)
        case 1:
            stream.fed_by(Linked(), 1)
        case 2:
            stream.silent_for(chance.choice(("", "hidden in Market Watch")))
        case 3:
            hall.tick(index, age_s=chance.choice((-5, 2, 9.9, 11, 70, 1_000)))
        case 4:
            hall.tick(index, count=400, gap_ms=chance.choice((20, 300)))
        case 5 if chance.random() < 0.1:
            hall.bounds = chance.choice((FIXED, STRICT))
        case 6 if chance.random() < 0.1:
            hall.clock.step_wall(chance.choice((-3_000, -2, 2, 3_000)))
        case 7 if chance.random() < 0.1:
            sessions = chance.choice(("", "forex always", "crypto utc Sun 22:10-Fri 21:55"))
            hall.calendars._take(stream.device.tenant, CalendarWords(sessions=sessions))
        case _:
            hall.tick(index)


@pytest.mark.parametrize("seed", range(4))
@async_test
async def test_states_and_deadlines_are_at_each_round_what_judging_every_feed_would_say(
    hall: Callable[[int], Hall], seed: int
) -> None:
    room, chance = hall(12), random.Random(seed)  # noqa: S311 - chooses what happens
    room.judge_due()
    for _ in range(1_200):
        for _ in range(chance.choice((0, 0, 0, 1, 3))):
            something(room, chance)
        long_s = chance.choice((1, 30, 400))
        await room.clock.advance(JUDGE_S if chance.random() < 0.95 else long_s)
        room.judge_due()
        for watched in room.watch._feeds.values():
            verdict = room.true_verdict(watched)
            assert watched.state is verdict.state, watched
            if chance.random() < 0.02 and verdict.holds_s is not None:
                asked = room.watch.now(watched.stream.feed_key)
                assert asked is not None
                assert asked.deadline_ms is not None
                until_ms = room.clock.now_ns() / 1e6 + verdict.holds_s * 1e3
                assert abs(asked.deadline_ms - until_ms) <= 2


@async_test
async def test_feeds_that_nothing_happens_to_follow_their_calendar_and_new_words_about_it(
    hall: Callable[[int], Hall],
) -> None:
    room = hall(8)
    room.judge_due()
    await room.told_words("forex utc Mon 00:00-Fri 21:53; crypto always; metals always")
    for index in range(0, 8, 2):
        room.tick(index, age_s=index * 40)
    assert FeedState.CLOSED not in await room.walk(5)
    assert FeedState.CLOSED in await room.walk(240)
    await room.told_words("forex always; crypto utc Mon 00:00-Tue 00:00; metals always")
    await room.walk(JUDGE_S)


@async_test
async def test_a_quiet_feed_is_held_against_the_rhythm_of_the_hour_from_its_first_second_on(
    hall: Callable[[int], Hall],
) -> None:
    room = hall(1)
    room.judge_due()
    await room.told_words("forex always")
    await room.clock.advance(400)
    room.tick(0, count=int(GAPS_WANTED) + 2, gap_ms=100)
    assert FeedState.DEAD in await room.walk(100)
    assert await room.walk(110) == {FeedState.DEAD, FeedState.STALE}  # over the full hour


@async_test
async def test_ten_thousand_quiet_feeds_are_not_looked_at_until_time_changes_them(
    hall: Callable[[int], Hall], monkeypatch: pytest.MonkeyPatch
) -> None:
    room = hall(10_000)
    assert room.judge_due() >= 10_000 // JUDGED_AT_ONCE
    judged: list[FeedView] = []

    def counted(view: FeedView, settings: FeedSettings) -> Verdict:
        judged.append(view)
        return judge(view, settings)

    monkeypatch.setattr(feeds_module, "judge", counted)
    await room.clock.advance(JUDGE_S)
    for index in range(20):
        room.tick(index)
    judged.clear()
    for _ in range(6):
        await room.clock.advance(JUDGE_S)
        room.judge_due()
    assert not judged
    await room.clock.advance(FIXED.delayed_after_s)
    room.judge_due()
    assert 20 <= len(judged) < 100


class Bus:
    def __init__(self) -> None:
        self.told: list[FeedStateChanged] = []

    async def publish(self, event: FeedStateChanged, *, tenant: TenantId) -> None:
        assert event.device.int % 2 == TENANTS.index(tenant)
        self.told.append(event)


@async_test
async def test_what_did_not_change_is_not_looked_at_and_is_repeated_little_by_little(
    hall: Callable[[int], Hall], monkeypatch: pytest.MonkeyPatch
) -> None:
    room, bus = hall(2_000), Bus()
    room.judge_due()
    errors: Any = Silent()
    announcer = Announcer(bus, room.watch, BridgeSettings(), errors=errors, clock=room.clock)  # type: ignore[arg-type]
    room.watch.on_change = lambda stream, _before, _feed: announcer.feed_changed(stream.feed_key)
    asked: list[FeedKey] = []
    now = room.watch.now

    def counted(key: FeedKey) -> FeedNow | None:
        asked.append(key)
        return now(key)

    monkeypatch.setattr(room.watch, "now", counted)
    await announcer.start()
    await settle()
    await room.clock.advance(ROUND_S)
    while len(bus.told) < 2_000:
        await settle()
    asked.clear()
    room.tick(3)
    for _ in range(20):
        await room.clock.advance(ROUND_S)
    assert len(asked) == 1
    assert [(event.previous, event.state) for event in bus.told[2_000:]] == [("UNKNOWN", "LIVE")]
    await room.clock.advance(REPEAT_NS / NS_PER_S)
    sizes: list[int] = []
    while len(asked) < 2_000 and len(sizes) < 200:
        before = len(asked)
        await room.clock.advance(ROUND_S)
        sizes.append(len(asked) - before)
    await announcer.stop()
    assert len({event.device for event in bus.told[2_001:]}) == 2_000
    assert max(sizes) <= 2 * (2_000 // REPEAT_ROUNDS + 1)


@async_test
async def test_a_feed_that_is_forgotten_is_new_when_it_comes_back(
    hall: Callable[[int], Hall],
) -> None:
    room = hall(2)
    room.judge_due()
    told: list[tuple[FeedState | None, FeedState]] = []
    room.watch.on_change = lambda _stream, before, feed: told.append((before, feed.state))
    room.tick(0)
    stream = room.streams[0]
    assert stream.link is not None
    stream.cut_from(stream.link)
    await room.walk(2)
    await room.clock.advance(FIXED.forget_after_s - 10)
    assert not room.watch.is_over(stream.feed_key)
    await room.clock.advance(10)
    assert room.watch.is_over(stream.feed_key)
    assert not room.watch.is_over(room.streams[1].feed_key), "a link without ticks is a link"
    room.watch.forget(stream.feed_key)
    assert room.watch.now(stream.feed_key) is None
    assert sum(count for _, count in room.watch.counts()) == 1
    told.clear()
    await room.walk(2)
    stream.fed_by(Linked(), 1)
    await room.walk(2)
    room.tick(0)
    assert [states for states in told if states[1] is not FeedState.DEAD] == [
        (None, FeedState.UNKNOWN),
        (FeedState.UNKNOWN, FeedState.LIVE),
    ]
    assert sum(count for _, count in room.watch.counts()) == 2
