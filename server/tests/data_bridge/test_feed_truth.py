"""A feed's state is true by calendar and rhythm, even when everything upstream stands still."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import msgspec
import numpy as np
import pytest

from aitrading.core.domain.feed_state import FeedState
from aitrading.core.domain.market import TICK_DTYPE, TickArray, TickBatch, make_batch
from aitrading.core.domain.sessions import MarketState
from aitrading.core.infrastructure.config_manager import ConfigManager
from aitrading.core.kit.clock import NS_PER_S
from aitrading.core.kit.ids import DeviceId, TenantId
from aitrading.core.protocol.link.messages import StreamDeclaration
from aitrading.core.security.certificates import DeviceIdentity
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.file_keys import some_file_keys
from aitrading.core.testing.manual_clock import ManualClock
from aitrading.server.data_bridge.calendars import Calendars
from aitrading.server.data_bridge.feeds import Feed, FeedWatch
from aitrading.server.data_bridge.quotes import QuoteBoard
from aitrading.server.data_bridge.rate_keeper import RateKeeper
from aitrading.server.data_bridge.settings import FeedSettings
from aitrading.server.data_bridge.streams import BridgeStream
from aitrading.server.data_bridge.tick_rates import GAPS_WANTED, TickRates
from aitrading.server.kit.calendar_settings import CalendarSettings, CalendarWords
from aitrading.server.kit.peer_errors import PEER_UNREACHABLE
from aitrading.server.testing.bridge_twins import FolderTickStore

TENANT = TenantId(UUID(int=1))
DEVICE = DeviceIdentity(tenant=TENANT, device=DeviceId(UUID(int=2)))
MONDAY = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
FRIDAY_CLOSE = datetime(2026, 11, 27, 22, 0, tzinfo=UTC)
FIXED = FeedSettings(delayed_after_s=10, stale_after_s=60, dead_after_s=900)


class Linked:
    def acknowledge(self, stream: BridgeStream) -> None: ...
    def flush(self) -> None: ...
    def close(self, spec: object, *, retry_after_ms: int = 0) -> None: ...


@pytest.fixture
def store(tmp_path: Path) -> FolderTickStore:
    return FolderTickStore(tmp_path / "stored")


@dataclass
class Room:
    """A watch over one stream, by a clock that stands still unless told."""

    start: datetime
    store: FolderTickStore
    symbol: str = "EURUSD"
    rates: TickRates = field(default_factory=TickRates)

    def __post_init__(self) -> None:
        self.clock = ManualClock(int(self.start.timestamp()) * NS_PER_S)
        config = ConfigManager.load((CalendarSettings, FeedSettings))
        self.calendars = Calendars(self.store, config, self.clock)
        self.watch = FeedWatch(self.clock, lambda: FIXED, self.calendars, self.rates)
        said = StreamDeclaration(
            handle=1, broker="B", login=1, symbol=self.symbol, epoch=1, digits=5
        )
        self.stream = BridgeStream(UUID(int=3), DEVICE, said)
        self.stream.link = Linked()
        self.board = QuoteBoard()
        self.judge(self.stream)

    def judge(self, stream: BridgeStream) -> None:
        """As the bridge does when a stream was opened."""
        self.watch.touched(stream)
        assert len(list(self.watch.judge_due())) == 0

    def tick(self, count: int = 1, gap_ms: int = 0) -> None:
        batch = batch_of(rows(self.clock.now_ns() // 1_000_000, count, gap_ms))
        source = self.board.update(self.stream, batch, self.clock.monotonic_ns())
        assert source is not None
        self.watch.ticked(source, batch)

    @property
    def feed(self) -> Feed:
        return only_feed(self.watch, TENANT)


def only_feed(watch: FeedWatch, tenant: TenantId) -> Feed:
    [name] = watch.names_of(tenant)
    feed = watch.feed(name.key)
    assert feed is not None
    return feed


def rows(last_ms: int, count: int, gap_ms: int) -> TickArray:
    made = np.zeros(count, TICK_DTYPE)
    made["event_ms"] = last_ms - gap_ms * np.arange(count)[::-1]
    made["bid"] = 1
    return made


def batch_of(made: TickArray) -> TickBatch:
    return make_batch(UUID(int=3), 1, made, receive_ns=0, broker_offset_s=0)


def moment(text: str | None) -> datetime:
    assert text is not None
    return datetime.fromisoformat(text)


@async_test
async def test_nothing_upstream_moves_and_the_state_is_true_at_its_deadline(
    store: FolderTickStore,
) -> None:
    room = Room(MONDAY, store)
    room.tick()
    seen: list[FeedState] = []
    for _ in range(4):  # nobody judges, nothing arrives: only the question is asked
        feed = room.feed
        seen.append(feed.state)
        if feed.deadline is None:
            break
        left = moment(feed.deadline).timestamp() - room.clock.now_ns() / NS_PER_S
        await room.clock.advance(left - 0.01)
        assert room.feed.state is feed.state
        await room.clock.advance(0.02)
        assert room.feed.state is not feed.state
    assert seen == [FeedState.LIVE, FeedState.DELAYED, FeedState.STALE, FeedState.DEAD]


@async_test
async def test_a_question_about_one_organisation_touches_no_feed_of_another(
    store: FolderTickStore,
) -> None:
    room = Room(MONDAY, store)
    stranger = DeviceIdentity(tenant=TenantId(UUID(int=98)), device=DeviceId(UUID(int=99)))
    foreign = BridgeStream(UUID(int=4), stranger, room.stream.declaration)
    room.judge(foreign)
    theirs = only_feed(room.watch, stranger.tenant)
    assert theirs.stream == foreign.id
    del foreign.device
    assert room.feed.stream == room.stream.id


@async_test
async def test_the_counts_are_those_of_the_states(store: FolderTickStore) -> None:
    room = Room(MONDAY, store)

    def counted() -> dict[FeedState, int]:
        return {state: count for state, count in room.watch.counts() if count}

    assert counted() == {FeedState.UNKNOWN: 1}
    room.tick()
    assert counted() == {FeedState.LIVE: 1}
    later = msgspec.structs.replace(room.stream.declaration, epoch=2)
    room.judge(BridgeStream(UUID(int=5), DEVICE, later))  # takes the feed over
    assert sum(counted().values()) == 1
    await room.clock.advance(FIXED.dead_after_s)
    assert room.feed.state is FeedState.DEAD
    assert counted() == {FeedState.DEAD: 1}


@async_test
async def test_a_feeds_own_rhythm_shortens_its_deadlines_and_never_lengthens_them(
    store: FolderTickStore,
) -> None:
    room = Room(MONDAY, store)
    room.tick(count=int(GAPS_WANTED) + 2, gap_ms=100)
    bounds = room.feed.bounds
    assert bounds.learned
    assert (bounds.delayed_after_s, bounds.stale_after_s, bounds.dead_after_s) == (2, 10, 60)
    await room.clock.advance(2.5)
    assert room.feed.state is FeedState.DELAYED
    await room.clock.advance(8)
    assert room.feed.state is FeedState.STALE
    await room.clock.advance(50)
    assert room.feed.state is FeedState.DEAD
    slow = Room(MONDAY, store, symbol="XAUUSD")
    slow.tick(count=int(GAPS_WANTED) + 2, gap_ms=60_000)
    assert slow.feed.bounds.learned
    assert slow.feed.bounds.delayed_after_s == FIXED.delayed_after_s
    assert not Room(MONDAY, store).feed.bounds.learned


@async_test
async def test_a_rhythm_fades_by_weeks_and_a_burst_of_outliers_changes_nothing() -> None:
    rates = TickRates()
    now_ms = int(MONDAY.timestamp()) * 1_000
    key = BridgeStream(
        UUID(int=3), DEVICE,
        StreamDeclaration(handle=1, broker="B", login=1, symbol="X", epoch=1, digits=5),
    ).feed_key  # fmt: skip
    rates.learn(key, rows(now_ms, 10_000, 50), 0)
    before = rates.deadlines(key, now_ms / 1_000, FIXED)
    rates.learn(key, rows(now_ms + 8 * 100_000, 8, 100_000), 0)
    assert rates.deadlines(key, now_ms / 1_000, FIXED) == before
    assert not rates.deadlines(key, now_ms / 1_000 + 30 * 7 * 86_400, FIXED).is_learned
    again = TickRates()
    again.load(rates.dump())
    assert again.deadlines(key, now_ms / 1_000, FIXED) == before


@async_test
async def test_a_closed_market_is_silent_for_good_reason_and_opens_with_a_fresh_deadline(
    store: FolderTickStore,
) -> None:
    room = Room(FRIDAY_CLOSE - timedelta(seconds=5), store)
    room.tick()
    assert room.feed.state is FeedState.LIVE
    await room.clock.advance(30)
    feed = room.feed
    assert (feed.state, feed.market) == (FeedState.CLOSED, MarketState.CLOSED)
    assert "closed" in feed.reason
    assert moment(feed.deadline) == datetime(2026, 11, 29, 22, 0, tzinfo=UTC)
    await room.clock.advance(2 * 86_400 - 20)
    assert room.feed.state is not FeedState.DEAD  # the weekend is not held against it
    await room.clock.advance(60)
    assert room.feed.state is FeedState.STALE
    await room.clock.advance(900)
    assert room.feed.state is FeedState.DEAD


@async_test
async def test_ticks_in_a_closed_market_are_live_and_disprove_the_calendar(
    store: FolderTickStore,
) -> None:
    room = Room(FRIDAY_CLOSE, store)
    await room.clock.advance(3_600)
    assert room.feed.state is FeedState.CLOSED
    room.tick()
    feed = room.feed
    assert (feed.state, feed.calendar_mismatch) == (FeedState.LIVE, True)
    assert "although" in feed.reason
    await room.clock.advance(61)
    assert room.feed.state is FeedState.STALE  # silence of a feed that ticked is silence


@async_test
async def test_an_unknown_symbol_is_never_closed(store: FolderTickStore) -> None:
    room = Room(FRIDAY_CLOSE, store, symbol="WHATEVER")
    await room.clock.advance(86_400)
    feed = room.feed
    assert (feed.state, feed.market) == (FeedState.DEAD, MarketState.UNKNOWN)
    assert (feed.canonical, feed.instrument_class) == (None, None)


@async_test
async def test_an_organisations_words_act_soon(store: FolderTickStore) -> None:
    room = Room(MONDAY, store)
    assert room.feed.market is MarketState.OPEN
    words = CalendarWords(closures="forex 2026-11-30T06:00/2026-11-30T09:00 feast")
    store.words[TENANT] = words
    await room.calendars.start()
    try:
        await room.clock.advance(1)
        assert (room.feed.state, room.feed.market) == (FeedState.CLOSED, MarketState.CLOSED)
        store.failure = PEER_UNREACHABLE.error(peer="database-service", reason="test")
        await room.clock.advance(30)
        assert room.feed.market is MarketState.CLOSED  # the last known words hold
    finally:
        await room.calendars.stop()


@async_test
async def test_the_rhythm_is_kept_over_a_restart_and_sealed(
    store: FolderTickStore, tmp_path: Path
) -> None:
    room = Room(MONDAY, store)
    room.tick(count=1_000, gap_ms=100)
    keys = some_file_keys()
    folder = tmp_path / "feeds"
    keeper = RateKeeper(room.rates, folder, keys, room.clock)
    await keeper.start()
    await keeper.stop()
    [file] = folder.iterdir()
    assert b"EURUSD" not in file.read_bytes()
    after = Room(MONDAY, store)
    keeper = RateKeeper(after.rates, folder, keys, after.clock)
    await keeper.start()
    await keeper.stop()
    assert after.feed.bounds == room.feed.bounds
    assert after.feed.bounds.learned
    file.write_bytes(b"nonsense")
    broken = Room(MONDAY, store)
    keeper = RateKeeper(broken.rates, folder, keys, broken.clock)
    await keeper.start()
    await keeper.stop()
    assert not broken.feed.bounds.learned
