"""How far each feed can be trusted, told to everybody when it changes."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import msgspec

from aitrading.core.domain.feed_state import FeedState
from aitrading.core.kit.clock import NS_PER_MS, NS_PER_S, Clock, rfc3339_of_ns
from aitrading.core.kit.ids import TenantId
from aitrading.server.data_bridge.quotes import QuoteSource
from aitrading.server.data_bridge.settings import FeedSettings
from aitrading.server.data_bridge.streams import BridgeStream, FeedKey

NEVER: Final = "no tick since the bridge started"


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


@dataclass(frozen=True, slots=True)
class FeedView:
    """Everything that decides a feed's state."""

    event_age_s: float | None
    """Between the newest tick's own time and now; None before the first."""
    silent_s: float
    """Since anything arrived, or since the stream was opened."""
    is_linked: bool


def judge(view: FeedView, settings: FeedSettings) -> tuple[FeedState, str]:
    """State and reason. A session is never guessed to be closed: silence is silence."""
    age_s = view.silent_s if view.event_age_s is None else max(view.event_age_s, view.silent_s)
    if age_s >= settings.dead_after_s:
        return FeedState.DEAD, f"nothing newer than {_rounded(age_s)}"
    if view.event_age_s is None:
        return FeedState.UNKNOWN, NEVER
    if not view.is_linked:
        return FeedState.STALE, "the device's link is down"
    if age_s >= settings.stale_after_s:
        return FeedState.STALE, f"the newest tick is {_rounded(age_s)} old"
    if age_s >= settings.delayed_after_s:
        return FeedState.DELAYED, f"the newest tick is {_rounded(age_s)} old"
    return FeedState.LIVE, "ticks arrive in time"


@dataclass
class _Watched:
    stream: BridgeStream
    opened_ns: int
    source: QuoteSource | None = None
    state: FeedState | None = None
    reason: str = ""
    since_ns: int = 0


Change = Callable[[BridgeStream, FeedState | None, Feed], None]


class FeedWatch:
    """Judges every stream again and again, and at once when a tick may make it LIVE."""

    def __init__(self, clock: Clock, settings: Callable[[], FeedSettings]) -> None:
        self.on_change: Change = lambda _stream, _before, _feed: None
        self._clock = clock
        self._settings = settings
        self._feeds: dict[FeedKey, _Watched] = {}

    def ticked(self, source: QuoteSource) -> FeedState:
        """A feed has a newer tick; gives its state now."""
        watched = self._watched(source.stream)
        watched.source = source
        if watched.state is not FeedState.LIVE:
            self._judge(watched)
        return watched.state or FeedState.UNKNOWN

    def remembered(self, event_ms: int) -> FeedState:
        """Of a feed whose newest tick is known from before a restart: what its age allows to say.

        Nobody knows what came after it, so it is UNKNOWN, until its age alone makes it DEAD.
        """
        age_s = self._clock.now_ns() / NS_PER_S - event_ms / 1_000
        is_dead = age_s >= self._settings().dead_after_s
        return FeedState.DEAD if is_dead else FeedState.UNKNOWN

    @property
    def limits(self) -> FeedSettings:
        """The ages at which a feed changes its state."""
        return self._settings()

    def judge_all(self, streams: Iterable[BridgeStream]) -> None:
        """Let time act on these streams, ticks or not."""
        for stream in streams:
            watched = self._watched(stream)
            if watched.stream is stream:
                self._judge(watched)

    def state(self, key: FeedKey) -> FeedState:
        """What is known now; a feed never heard of is UNKNOWN."""
        watched = self._feeds.get(key)
        return (watched.state if watched else None) or FeedState.UNKNOWN

    def of_tenant(self, tenant: TenantId) -> list[Feed]:
        """The tenant's feeds in order of symbol."""
        return [
            self._feed(self._feeds[key])
            for key in sorted(self._feeds)
            if self._feeds[key].stream.device.tenant == tenant
        ]

    def last_event_ms(self, key: FeedKey) -> int | None:
        """UTC time of the feed's newest tick."""
        watched = self._feeds.get(key)
        return watched.source.event_ms if watched and watched.source else None

    def all(self) -> list[tuple[BridgeStream, Feed]]:
        """Every feed with its stream."""
        return [(watched.stream, self._feed(watched)) for watched in self._feeds.values()]

    def counts(self) -> Iterator[tuple[FeedState, int]]:
        """Feeds per state, for metrics."""
        for state in FeedState:
            yield state, sum(watched.state is state for watched in self._feeds.values())

    def _watched(self, stream: BridgeStream) -> _Watched:
        """The feed's record; a later epoch takes it over, with the state it had."""
        watched = self._feeds.get(stream.feed_key)
        if watched is None:
            watched = self._feeds[stream.feed_key] = _Watched(stream, self._clock.monotonic_ns())
        elif watched.stream.declaration.epoch < stream.declaration.epoch:
            watched.stream = stream
        return watched

    def _judge(self, watched: _Watched) -> None:
        state, reason = judge(self._view(watched), self._settings())
        if state is watched.state:
            watched.reason = reason
            return
        before, watched.state, watched.reason = watched.state, state, reason
        watched.since_ns = self._clock.now_ns()
        self.on_change(watched.stream, before, self._feed(watched))

    def _view(self, watched: _Watched) -> FeedView:
        source = watched.source
        now_ns = self._clock.monotonic_ns()
        heard_ns = source.received_ns if source else watched.opened_ns
        event_age_ns = self._clock.now_ns() - source.event_ms * NS_PER_MS if source else None
        return FeedView(
            event_age_s=None if event_age_ns is None else event_age_ns / NS_PER_S,
            silent_s=(now_ns - heard_ns) / NS_PER_S,
            is_linked=watched.stream.link is not None,
        )

    def _feed(self, watched: _Watched) -> Feed:
        stream, source = watched.stream, watched.source
        said = stream.declaration
        return Feed(
            symbol=said.symbol,
            state=watched.state or FeedState.UNKNOWN,
            reason=watched.reason,
            since=rfc3339_of_ns(watched.since_ns),
            last_tick=rfc3339_of_ns(source.event_ms * NS_PER_MS) if source else None,
            device=stream.device.device,
            stream=stream.id,
            account=f"{said.broker}:{said.login}",
        )


def _rounded(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"  # noqa: PLR2004
