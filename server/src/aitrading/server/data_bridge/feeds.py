"""How far each feed can be trusted, told to everybody when it changes."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from aitrading.core.domain.feed_state import FeedState
from aitrading.core.domain.market import TickBatch
from aitrading.core.domain.sessions import MarketNow, MarketState
from aitrading.core.domain.symbols import InstrumentClass
from aitrading.core.domain.tick_doubts import MEANINGS, Doubt
from aitrading.core.kit.clock import NS_PER_MS, NS_PER_S, Clock, rfc3339_of_ns
from aitrading.core.kit.ids import TenantId
from aitrading.server.data_bridge.calendars import Calendars
from aitrading.server.data_bridge.quotes import QuoteSource
from aitrading.server.data_bridge.settings import FeedSettings
from aitrading.server.data_bridge.streams import BridgeStream, FeedKey
from aitrading.server.data_bridge.tick_rates import TickRates
from aitrading.server.data_bridge.verdicts import FeedView, judge, known_for_s

GRACE_S: Final = 120.0
"""Ticks this long after the calendar's closing are the end of the session, not a mistake of it."""
JUDGED_AT_ONCE: Final = 16
"""Feeds that are judged before others may work: less than two milliseconds."""
STEP_NS: Final = 50 * NS_PER_MS
"""By how much the time of day may differ from what was counted on before all is judged again."""
EARLY_NS: Final = NS_PER_MS
"""A feed is judged this much before its moment: rather once too often than a round late."""


class FeedBounds(msgspec.Struct, frozen=True, kw_only=True):
    """From which silence on this feed counts as late, now."""

    delayed_after_s: float
    stale_after_s: float
    dead_after_s: float
    learned: bool
    """From the feed's own rhythm at this hour of the week; otherwise the fixed bounds."""


class Feed(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="feed"):
    """The state of one symbol of one device, as people and programs see it."""

    symbol: str
    state: FeedState
    reason: str
    since: str
    last_tick: str | None
    device: UUID
    stream: UUID
    account: str
    deadline: str | None
    """Without any news the state is worse, or another one, from then on: do not believe it longer."""
    bounds: FeedBounds
    canonical: str | None
    """What the broker's symbol stands for; null when that is not certain."""
    instrument_class: InstrumentClass | None
    market: MarketState
    """What the calendar says; `UNKNOWN` is never taken for closed."""
    market_changes: str | None
    calendar_mismatch: bool
    """It ticked while the calendar said closed: its silence is silence until the next session."""
    quarantined: int = 0
    """Ticks since the bridge's start that cannot be believed: stored, and no quotes."""
    quarantine_reason: str | None = None
    """Of the newest of them."""


class FeedName(NamedTuple):
    """Where a feed stands in a list."""

    symbol: str
    stream: UUID
    key: FeedKey


@dataclass
class _Watched:
    stream: BridgeStream
    opened_ns: int
    heard_ns: int
    """When it had ticks or something happened to its link last."""
    source: QuoteSource | None = None
    state: FeedState | None = None
    reason: str = ""
    since_ns: int = 0
    holds_s: float | None = None
    judged_ns: int = 0
    judged_event_ms: int = 0
    """Time of its newest tick when it was judged last."""
    judge_at: int = 0
    """When it must be judged again, by the monotonic clock, unless something happens before."""
    queued_for: int | None = None
    """The moment of its one entry in the queue that counts."""
    doubted: int = 0
    doubted_since_tick: int = 0
    doubt: Doubt | None = None


Change = Callable[[BridgeStream, FeedState | None, Feed], None]


@dataclass(frozen=True, slots=True)
class FeedNow:
    """What the bus is told of a feed."""

    stream: BridgeStream
    state: FeedState
    reason: str
    last_event_ms: int | None
    deadline_ms: int | None


class FeedWatch:
    """Judges a feed when something happened to it and when time may change it, and when asked.

    What can change a verdict is a tick, the stream's link, the organisation's calendar, the bounds,
    a step of the clock, or a moment that the last verdict knows; a quiet feed costs nothing until
    then. `judge_due` judges what is due, a few feeds at once.

    An answer is never older than the question: even when nothing calls `judge_due` any more, a
    feed that is asked for is judged by the clock of now, and says until when that holds.
    """

    def __init__(
        self,
        clock: Clock,
        settings: Callable[[], FeedSettings],
        calendars: Calendars,
        rates: TickRates,
    ) -> None:
        self.on_change: Change = lambda _stream, _before, _feed: None
        self._clock = clock
        self._settings = settings
        self._calendars = calendars
        self._rates = rates
        self._feeds: dict[FeedKey, _Watched] = {}
        self._tenants: dict[TenantId, dict[FeedKey, _Watched]] = {}
        """The same, so that nobody's question walks over the feeds of others."""
        self._counts: Counter[FeedState] = Counter()
        self._soon: dict[FeedKey, None] = {}
        """To be judged in the next round, whatever the queue says."""
        self._queue: list[tuple[int, FeedKey]] = []
        """When each feed must be judged again, the earliest first."""
        self._judged_by = settings()
        self._wall_ahead_ns = clock.now_ns() - clock.monotonic_ns()

    def __len__(self) -> int:
        return len(self._feeds)

    def ticked(self, source: QuoteSource, batch: TickBatch) -> FeedState:
        """A feed has newer ticks; gives its state now."""
        watched = self._watched(source.stream)
        watched.source = source
        watched.heard_ns = source.received_ns
        watched.doubted_since_tick = 0
        self._rates.learn(source.stream.feed_key, batch.array(), batch.broker_offset_s)
        if watched.state is not FeedState.LIVE:
            self._judge(watched)
        elif source.event_ms < watched.judged_event_ms:
            self._soon[source.stream.feed_key] = None  # older than the one its deadline is from
        return watched.state or FeedState.UNKNOWN

    def doubted(self, stream: BridgeStream, ticks: int, newest: Doubt) -> None:
        """A feed has ticks that cannot be believed: no sign of life, and not to be kept quiet."""
        watched = self._watched(stream)
        watched.doubted += ticks
        watched.doubted_since_tick += ticks
        watched.doubt = newest

    def remembered(self, event_ms: int) -> FeedState:
        """Of a feed whose newest tick is known from before a restart: what its age allows to say.

        Nobody knows what came after it, so it is UNKNOWN, until its age alone makes it DEAD.
        """
        age_s = self._clock.now_ns() / NS_PER_S - event_ms / 1_000
        is_dead = age_s >= self._settings().dead_after_s
        return FeedState.DEAD if is_dead else FeedState.UNKNOWN

    @property
    def limits(self) -> FeedSettings:
        """The ages at which a feed changes its state, at the latest."""
        return self._settings()

    def touched(self, stream: BridgeStream) -> None:
        """Something but ticks happened to the stream: it was opened, its link changed, its client spoke."""
        watched = self._watched(stream)
        watched.heard_ns = self._clock.monotonic_ns()
        if watched.stream is stream:
            self._soon[stream.feed_key] = None

    def calendar_changed(self, tenant: TenantId) -> None:
        """Other words about the organisation's markets hold from now on."""
        self._soon.update(dict.fromkeys(self._tenants.get(tenant, ())))

    def judge_all_again(self) -> None:
        """Every feed is due in the next round."""
        self._soon = dict.fromkeys(self._feeds)

    def judge_due(self) -> Iterator[None]:
        """Let time act on the feeds that it may change; whoever goes through it lets others work in between."""
        self._look_at_the_whole()
        now_ns, judged = self._clock.monotonic_ns(), 0
        for key in self._take_due(now_ns):
            watched = self._feeds.get(key)
            if watched is not None:
                self._judge(watched)
                judged += 1
            if judged >= JUDGED_AT_ONCE:
                judged = 0
                yield

    def _look_at_the_whole(self) -> None:
        """Other bounds, or another time of day than was counted on: every feed is judged again."""
        ahead_ns = self._clock.now_ns() - self._clock.monotonic_ns()
        is_stepped = abs(ahead_ns - self._wall_ahead_ns) > STEP_NS
        if is_stepped or self._settings() != self._judged_by:
            self._wall_ahead_ns, self._judged_by = ahead_ns, self._settings()
            self.judge_all_again()

    def _take_due(self, now_ns: int) -> Iterator[FeedKey]:
        soon, self._soon = self._soon, {}
        yield from soon
        while self._queue and self._queue[0][0] <= now_ns:
            moment_ns, key = heappop(self._queue)
            watched = self._feeds.get(key)
            if watched is None or watched.queued_for != moment_ns:
                continue
            watched.queued_for = None
            if watched.judge_at <= now_ns:
                yield key
            else:
                self._enqueue(watched)

    def _enqueue(self, watched: _Watched) -> None:
        """An entry that is too early is put off when its time comes; a later one is of no use."""
        if watched.queued_for is None or watched.judge_at < watched.queued_for:
            watched.queued_for = watched.judge_at
            heappush(self._queue, (watched.judge_at, watched.stream.feed_key))

    def state(self, key: FeedKey) -> FeedState:
        """What is true now; a feed never heard of is UNKNOWN."""
        watched = self._feeds.get(key)
        if watched is None:
            return FeedState.UNKNOWN
        self._judge(watched)
        return watched.state or FeedState.UNKNOWN

    def names_of(self, tenant: TenantId) -> list[FeedName]:
        """The tenant's feeds in order of symbol, to ask for a few at once."""
        feeds = self._tenants.get(tenant, {})
        return [FeedName(key.symbol, feeds[key].stream.id, key) for key in sorted(feeds)]

    def count_of(self, tenant: TenantId) -> int:
        """How many feeds the tenant has."""
        return len(self._tenants.get(tenant, {}))

    def feed(self, key: FeedKey) -> Feed | None:
        """What is true of a feed now, as people see it; None for one that was forgotten."""
        watched = self._feeds.get(key)
        if watched is None:
            return None
        self._judge(watched)
        return self._feed(watched)

    def now(self, key: FeedKey) -> FeedNow | None:
        """What is true of a feed now; None for one never heard of."""
        watched = self._feeds.get(key)
        if watched is None:
            return None
        self._judge(watched)
        return FeedNow(
            watched.stream,
            watched.state or FeedState.UNKNOWN,
            watched.reason,
            watched.source.event_ms if watched.source else None,
            _deadline_ms(watched),
        )

    def keys(self) -> Collection[FeedKey]:
        """Every feed."""
        return self._feeds.keys()

    def is_over(self, key: FeedKey) -> bool:
        """Nothing was heard of the feed for so long that it need not be kept."""
        watched = self._feeds.get(key)
        if watched is None or watched.stream.link is not None:
            return False
        settings, silent_ns = self._settings(), self._clock.monotonic_ns() - watched.heard_ns
        return silent_ns / NS_PER_S >= max(settings.forget_after_s, settings.dead_after_s)

    def forget(self, key: FeedKey) -> None:
        """As if it had never been heard of; an entry in the queue finds nothing."""
        watched = self._feeds.pop(key)
        tenant = watched.stream.device.tenant
        del self._tenants[tenant][key]
        if not self._tenants[tenant]:
            del self._tenants[tenant]
        self._soon.pop(key, None)
        self._rates.forget(key)
        if watched.state is not None:
            self._counts[watched.state] -= 1

    def counts(self) -> Iterator[tuple[FeedState, int]]:
        """Feeds per state, for metrics."""
        for state in FeedState:
            yield state, self._counts[state]

    def _watched(self, stream: BridgeStream) -> _Watched:
        """The feed's record; a later epoch takes it over, with the state it had."""
        watched = self._feeds.get(stream.feed_key)
        if watched is None:
            now_ns = self._clock.monotonic_ns()
            watched = self._feeds[stream.feed_key] = _Watched(stream, now_ns, now_ns)
            self._tenants.setdefault(stream.device.tenant, {})[stream.feed_key] = watched
            self._soon[stream.feed_key] = None
        elif watched.stream.declaration.epoch < stream.declaration.epoch:
            watched.stream = stream
            self._soon[stream.feed_key] = None
        return watched

    def _judge(self, watched: _Watched) -> None:
        view = self._view(watched)
        verdict = judge(view, self._settings())
        watched.reason, watched.holds_s = _with_doubts(verdict.reason, watched), verdict.holds_s
        watched.judged_ns = self._clock.now_ns()
        watched.judged_event_ms = watched.source.event_ms if watched.source else 0
        known_s = known_for_s(view, verdict, self._settings(), watched.judged_ns / NS_PER_S)
        known_ns = max(1, round(known_s * NS_PER_S) - EARLY_NS)
        watched.judge_at = self._clock.monotonic_ns() + known_ns
        self._enqueue(watched)
        if verdict.state is watched.state:
            return
        before, watched.state = watched.state, verdict.state
        self._counts[verdict.state] += 1
        if before is not None:
            self._counts[before] -= 1
        watched.since_ns = watched.judged_ns
        self.on_change(watched.stream, before, self._feed(watched))

    def _view(self, watched: _Watched) -> FeedView:
        source, stream = watched.source, watched.stream
        wall_s, now_ns = self._clock.now_ns() / NS_PER_S, self._clock.monotonic_ns()
        heard_ns = source.received_ns if source else watched.opened_ns
        market = self._calendars.now(stream.device.tenant, stream.symbol)
        return FeedView(
            event_age_s=None if source is None else wall_s - source.event_ms / 1_000,
            silent_s=(now_ns - heard_ns) / NS_PER_S,
            is_linked=stream.link is not None,
            limits=self._rates.deadlines(stream.feed_key, wall_s, self._settings()),
            market=market,
            in_state_s=None if market.since_s is None else wall_s - market.since_s,
            until_change_s=None if market.until_s is None else market.until_s - wall_s,
            is_mismatch=_disproves(source, market),
            why_silent=stream.why_silent,
        )

    def _feed(self, watched: _Watched) -> Feed:
        stream, source = watched.stream, watched.source
        said, tenant = stream.declaration, stream.device.tenant
        market = self._calendars.now(tenant, said.symbol)
        canonical = self._calendars.canonical(tenant, said.symbol)
        limits = self._rates.deadlines(
            stream.feed_key, self._clock.now_ns() / NS_PER_S, self._settings()
        )
        return Feed(
            symbol=said.symbol,
            state=watched.state or FeedState.UNKNOWN,
            reason=watched.reason,
            since=rfc3339_of_ns(watched.since_ns),
            last_tick=rfc3339_of_ns(source.event_ms * NS_PER_MS) if source else None,
            device=stream.device.device,
            stream=stream.id,
            account=f"{said.broker}:{said.login}",
            deadline=_deadline(watched),
            bounds=FeedBounds(
                delayed_after_s=limits.delayed_s,
                stale_after_s=limits.stale_s,
                dead_after_s=limits.dead_s,
                learned=limits.is_learned,
            ),
            canonical=canonical.symbol if canonical else None,
            instrument_class=canonical.kind if canonical else None,
            market=market.state,
            market_changes=(
                None if market.until_s is None else rfc3339_of_ns(market.until_s * NS_PER_S)
            ),
            calendar_mismatch=_disproves(source, market),
            quarantined=watched.doubted,
            quarantine_reason=watched.doubt.name if watched.doubt else None,
        )


def _with_doubts(reason: str, watched: _Watched) -> str:
    if not watched.doubted_since_tick or watched.doubt is None:
        return reason
    since, why = watched.doubted_since_tick, MEANINGS[watched.doubt]
    return f"{reason}; {since} ticks since then are in quarantine: {why}"


def _disproves(source: QuoteSource | None, market: MarketNow) -> bool:
    """A tick from well within a closing disproves the calendar for this closing."""
    if market.state is not MarketState.CLOSED or source is None:
        return False
    began_ms = 0 if market.since_s is None else (market.since_s + GRACE_S) * 1_000
    return source.event_ms >= began_ms


def _deadline(watched: _Watched) -> str | None:
    deadline_ns = _deadline_ns(watched)
    return None if deadline_ns is None else rfc3339_of_ns(deadline_ns)


def _deadline_ms(watched: _Watched) -> int | None:
    deadline_ns = _deadline_ns(watched)
    return None if deadline_ns is None else deadline_ns // NS_PER_MS


def _deadline_ns(watched: _Watched) -> int | None:
    """Until when what was judged last holds without news; UTC."""
    if watched.holds_s is None:
        return None
    return watched.judged_ns + round(watched.holds_s * NS_PER_S)
