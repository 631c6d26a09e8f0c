"""How far each feed can be trusted, told to everybody when it changes."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

import msgspec

from aitrading.core.domain.feed_state import FeedState
from aitrading.core.domain.market import TickBatch
from aitrading.core.domain.sessions import NO_CALENDAR, MarketNow, MarketState
from aitrading.core.domain.symbols import InstrumentClass
from aitrading.core.domain.tick_doubts import MEANINGS, Doubt
from aitrading.core.kit.clock import NS_PER_MS, NS_PER_S, Clock, rfc3339_of_ns
from aitrading.core.kit.ids import TenantId
from aitrading.server.data_bridge.calendars import Calendars
from aitrading.server.data_bridge.quotes import QuoteSource
from aitrading.server.data_bridge.settings import FeedSettings
from aitrading.server.data_bridge.streams import BridgeStream, FeedKey
from aitrading.server.data_bridge.tick_rates import Deadlines, TickRates

NEVER: Final = "no tick since the bridge started"
GRACE_S: Final = 120.0
"""Ticks this long after the calendar's closing are the end of the session, not a mistake of it."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedView:
    """Everything that decides a feed's state."""

    event_age_s: float | None
    """Between the newest tick's own time and now; None before the first."""
    silent_s: float
    """Since anything arrived, or since the stream was opened."""
    is_linked: bool
    limits: Deadlines | None = None
    """What the feed's own rhythm allows; None: the fixed bounds."""
    market: MarketNow = NO_CALENDAR
    in_state_s: float | None = None
    """Since when the market is as it is; None when that is unknown or long ago."""
    until_change_s: float | None = None
    is_mismatch: bool = False
    why_silent: str = ""
    """What the client says of ticks that do not come."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is true of a feed, why, and for how long without news."""

    state: FeedState
    reason: str
    holds_s: float | None = None


def judge(view: FeedView, settings: FeedSettings) -> Verdict:
    """State and reason. Only a calendar closes a feed, and only one that the feed has not disproved."""
    limits = view.limits or _fixed(settings)
    silent_s, age_s = _ages(view)
    is_closed = view.market.state is MarketState.CLOSED and not view.is_mismatch
    is_fresh = (
        age_s is not None and silent_s < limits.delayed_s and age_s < settings.delayed_after_s
    )
    if is_closed and not (is_fresh and view.is_linked):
        link = "" if view.is_linked else "; the device's link is down"
        reason = f"the market is closed: {view.market.why}{link}"
        return Verdict(FeedState.CLOSED, reason, view.until_change_s)
    verdict = _judged_by_age(view, settings, limits, silent_s, age_s)
    if view.why_silent and view.is_linked and verdict.state is not FeedState.LIVE:
        return replace(verdict, reason=f"{verdict.reason}; its client says: {view.why_silent}")
    if verdict.state is FeedState.LIVE and view.market.state is MarketState.CLOSED:
        return replace(verdict, reason=f"ticks although the calendar says: {view.market.why}")
    return verdict


def _judged_by_age(
    view: FeedView,
    settings: FeedSettings,
    limits: Deadlines,
    silent_s: float,
    age_s: float | None,
) -> Verdict:
    """Silence is held against the feed's own rhythm, the ticks' own time against the fixed bounds."""
    own_s = silent_s if age_s is None else age_s

    def left(silence_limit_s: float, fixed_s: float) -> float:
        return min(silence_limit_s - silent_s, fixed_s - own_s)

    to_delayed = left(limits.delayed_s, settings.delayed_after_s)
    to_stale = left(limits.stale_s, settings.stale_after_s)
    to_dead = left(limits.dead_s, settings.dead_after_s)
    old = _rounded(max(silent_s, own_s))
    if to_dead <= 0:
        return Verdict(FeedState.DEAD, f"nothing newer than {old}")
    if age_s is None:
        return Verdict(FeedState.UNKNOWN, NEVER, to_dead)
    if not view.is_linked:
        return Verdict(FeedState.STALE, "the device's link is down", to_dead)
    if to_stale <= 0:
        return Verdict(FeedState.STALE, f"the newest tick is {old} old", to_dead)
    if to_delayed <= 0:
        return Verdict(FeedState.DELAYED, f"the newest tick is {old} old", to_stale)
    return Verdict(FeedState.LIVE, "ticks arrive in time", to_delayed)


def _ages(view: FeedView) -> tuple[float, float | None]:
    """How long nothing came and how old the newest tick is; a closed market counts for neither."""
    silent_s, age_s = view.silent_s, view.event_age_s
    if view.market.state is MarketState.OPEN and view.in_state_s is not None:
        silent_s = min(silent_s, view.in_state_s)
        age_s = None if age_s is None else min(age_s, view.in_state_s)
    return silent_s, age_s


def _fixed(settings: FeedSettings) -> Deadlines:
    return Deadlines(
        settings.delayed_after_s, settings.stale_after_s, settings.dead_after_s, is_learned=False
    )


@dataclass
class _Watched:
    stream: BridgeStream
    opened_ns: int
    source: QuoteSource | None = None
    state: FeedState | None = None
    reason: str = ""
    since_ns: int = 0
    holds_s: float | None = None
    judged_ns: int = 0
    doubted: int = 0
    doubted_since_tick: int = 0
    doubt: Doubt | None = None


Change = Callable[[BridgeStream, FeedState | None, Feed], None]


class FeedWatch:
    """Judges every stream again and again, at once when a tick may make it LIVE, and when asked.

    An answer is never older than the question: even when nothing calls `judge_all` any more, a
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

    def ticked(self, source: QuoteSource, batch: TickBatch) -> FeedState:
        """A feed has newer ticks; gives its state now."""
        watched = self._watched(source.stream)
        watched.source = source
        watched.doubted_since_tick = 0
        self._rates.learn(source.stream.feed_key, batch.array(), batch.broker_offset_s)
        if watched.state is not FeedState.LIVE:
            self._judge(watched)
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

    def judge_all(self, streams: Iterable[BridgeStream]) -> None:
        """Let time act on these streams, ticks or not."""
        for stream in streams:
            watched = self._watched(stream)
            if watched.stream is stream:
                self._judge(watched)

    def state(self, key: FeedKey) -> FeedState:
        """What is true now; a feed never heard of is UNKNOWN."""
        watched = self._feeds.get(key)
        if watched is None:
            return FeedState.UNKNOWN
        self._judge(watched)
        return watched.state or FeedState.UNKNOWN

    def of_tenant(self, tenant: TenantId) -> list[Feed]:
        """The tenant's feeds in order of symbol."""
        feeds = self._tenants.get(tenant, {})
        mine = [feeds[key] for key in sorted(feeds)]
        for watched in mine:
            self._judge(watched)
        return [self._feed(watched) for watched in mine]

    def last_event_ms(self, key: FeedKey) -> int | None:
        """UTC time of the feed's newest tick."""
        watched = self._feeds.get(key)
        return watched.source.event_ms if watched and watched.source else None

    def deadline_ms(self, key: FeedKey) -> int | None:
        """Until when what was judged last holds without news; UTC."""
        watched = self._feeds.get(key)
        if watched is None or watched.holds_s is None:
            return None
        return (watched.judged_ns + round(watched.holds_s * NS_PER_S)) // NS_PER_MS

    def all(self) -> list[tuple[BridgeStream, Feed]]:
        """Every feed with its stream."""
        return [(watched.stream, self._feed(watched)) for watched in self._feeds.values()]

    def counts(self) -> Iterator[tuple[FeedState, int]]:
        """Feeds per state, for metrics."""
        for state in FeedState:
            yield state, self._counts[state]

    def _watched(self, stream: BridgeStream) -> _Watched:
        """The feed's record; a later epoch takes it over, with the state it had."""
        watched = self._feeds.get(stream.feed_key)
        if watched is None:
            watched = self._feeds[stream.feed_key] = _Watched(stream, self._clock.monotonic_ns())
            self._tenants.setdefault(stream.device.tenant, {})[stream.feed_key] = watched
        elif watched.stream.declaration.epoch < stream.declaration.epoch:
            watched.stream = stream
        return watched

    def _judge(self, watched: _Watched) -> None:
        verdict = judge(self._view(watched), self._settings())
        watched.reason, watched.holds_s = _with_doubts(verdict.reason, watched), verdict.holds_s
        watched.judged_ns = self._clock.now_ns()
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
    if watched.holds_s is None:
        return None
    return rfc3339_of_ns(watched.judged_ns + round(watched.holds_s * NS_PER_S))


def _rounded(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"  # noqa: PLR2004
