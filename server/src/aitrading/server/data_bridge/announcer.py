"""Tells the bus what the bridge sees: feed states and summaries of market data."""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NamedTuple
from uuid import UUID

from typing_extensions import override

from aitrading.core.domain.feed_state import FeedState
from aitrading.core.domain.market import TickBatch
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.event_bus import EventBus
from aitrading.core.infrastructure.events import FeedStateChanged, MarketDataReceived
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.looping import LoopingComponent
from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.core.kit.errors import AitradingError
from aitrading.server.data_bridge.feeds import FeedWatch
from aitrading.server.data_bridge.quotes import QuoteSource, price_text
from aitrading.server.data_bridge.settings import BridgeSettings
from aitrading.server.data_bridge.streams import FeedKey

ROUND_S: Final = 0.1
REPEAT_NS: Final = 10 * NS_PER_S
"""How often every feed state is said again, for listeners that started later."""
REPEAT_ROUNDS: Final = 50
"""Over how many rounds the repetitions are spread at least."""
TOLD_AT_ONCE: Final = 8
"""Events that are made before others may work: about a millisecond."""


@dataclass
class _Summary:
    """Ticks of a stream since the last event."""

    source: QuoteSource
    first_sequence: int
    count: int = 0


class _Told(NamedTuple):
    state: FeedState
    at_ns: int


class Announcer(LoopingComponent):
    """Publishes what changed, in the order of change; after a lost bus, everything again.

    A feed that does not change costs nothing but its repetitions, which are spread over time.
    """

    def __init__(
        self,
        bus: EventBus,
        feeds: FeedWatch,
        settings: BridgeSettings,
        *,
        errors: ErrorHandler,
        clock: Clock,
    ) -> None:
        super().__init__("market-announcer", on_error=errors.classify)
        self.depends_on = ("bus",)
        self._bus = bus
        self._feeds = feeds
        self._interval_ns = settings.event_interval_ms * 1_000_000
        self._errors = errors
        self._clock = clock
        self._summaries: dict[UUID, _Summary] = {}
        self._changed: dict[FeedKey, None] = {}
        """Feeds with news, in the order of change."""
        self._told: OrderedDict[FeedKey, _Told] = OrderedDict()
        """What was said last of each feed, the longest ago first."""
        self._summed_ns = 0

    @override
    async def start(self) -> None:
        """Publish from now on."""
        self._tasks.keep(self._run, name="announce", clock=self._clock)
        self._state = ComponentState.HEALTHY

    def ticks(self, source: QuoteSource, batch: TickBatch) -> None:
        """Count a batch into the next summary of its stream."""
        summary = self._summaries.get(source.stream.id)
        if summary is None:
            summary = _Summary(source, batch.first_sequence)
            self._summaries[source.stream.id] = summary
        summary.count += batch.count

    def feed_changed(self, key: FeedKey) -> None:
        """A feed has another state than before."""
        self._changed[key] = None

    def forget(self, key: FeedKey) -> None:
        """Nothing more is said of the feed until it is heard of again."""
        self._changed.pop(key, None)
        self._told.pop(key, None)

    async def _run(self) -> None:
        self._begin_again()  # also after a round that something unforeseen ended
        while True:
            await self._clock.sleep(ROUND_S)
            try:
                await self._tell_feeds()
                await self._tell_ticks()
            except AitradingError as exc:
                self._errors.classify(exc)
                self._begin_again()
                self._state = ComponentState.DEGRADED
            else:
                self._state = ComponentState.HEALTHY

    def _begin_again(self) -> None:
        self._told.clear()
        self._changed = dict.fromkeys(self._feeds.keys())

    async def _tell_feeds(self) -> None:
        for told, key in enumerate(self._to_tell(), start=1):
            await self._tell_feed(key)
            if told % TOLD_AT_ONCE == 0:
                await self._clock.sleep(0)

    def _to_tell(self) -> Iterator[FeedKey]:
        """What changed, and then a part of what was not said for long."""
        changed, self._changed = self._changed, {}
        yield from changed
        repeat_before_ns = self._clock.monotonic_ns() - REPEAT_NS
        for _ in range(len(self._told) // REPEAT_ROUNDS + 1):
            if not self._told or next(iter(self._told.values())).at_ns > repeat_before_ns:
                return
            key, _ = self._told.popitem(last=False)
            yield key

    async def _tell_feed(self, key: FeedKey) -> None:
        feed = self._feeds.now(key)
        before = self._told.get(key)
        if feed is None or (before is not None and before.state is feed.state):
            return
        event = FeedStateChanged(
            device=key.device,
            symbol=key.symbol,
            previous=None if before is None else before.state,
            state=feed.state,
            reason=feed.reason,
            last_event_ms=feed.last_event_ms,
            deadline_ms=feed.deadline_ms,
        )
        await self._bus.publish(event, tenant=feed.stream.device.tenant)
        self._told[key] = _Told(feed.state, self._clock.monotonic_ns())
        self._told.move_to_end(key)

    async def _tell_ticks(self) -> None:
        now_ns = self._clock.monotonic_ns()
        if now_ns - self._summed_ns < self._interval_ns:
            return
        self._summed_ns = now_ns
        summaries, self._summaries = self._summaries, {}
        for summary in summaries.values():
            source, stream = summary.source, summary.source.stream
            digits = stream.declaration.digits
            event = MarketDataReceived(
                device=stream.device.device,
                symbol=stream.symbol,
                stream=str(stream.id),
                first_sequence=summary.first_sequence,
                last_sequence=source.sequence,
                count=summary.count,
                bid=Decimal(price_text(source.bid_points, digits) or 0),
                ask=Decimal(price_text(source.ask_points, digits) or 0),
                event_ms=source.event_ms,
            )
            await self._bus.publish(event, tenant=stream.device.tenant)
