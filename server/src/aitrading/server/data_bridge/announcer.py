"""Tells the bus what the bridge sees: feed states and summaries of market data."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final
from uuid import UUID

from aitrading.core.domain.feed_state import FeedState
from aitrading.core.domain.market import TickBatch
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.event_bus import EventBus
from aitrading.core.infrastructure.events import FeedStateChanged, MarketDataReceived
from aitrading.core.infrastructure.lifecycle import ComponentState, TaskSet
from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.core.kit.errors import AitradingError
from aitrading.server.data_bridge.feeds import Feed, FeedWatch
from aitrading.server.data_bridge.quotes import QuoteSource, price_text
from aitrading.server.data_bridge.settings import BridgeSettings
from aitrading.server.data_bridge.streams import BridgeStream, FeedKey

ROUND_S: Final = 0.1
REPEAT_NS: Final = 10 * NS_PER_S
"""How often every feed state is said again, for listeners that started later."""


@dataclass
class _Summary:
    """Ticks of a stream since the last event."""

    source: QuoteSource
    first_sequence: int
    count: int = 0


class Announcer:
    """Publishes what changed, in the order of change; after a lost bus, everything again."""

    def __init__(
        self,
        bus: EventBus,
        feeds: FeedWatch,
        settings: BridgeSettings,
        *,
        errors: ErrorHandler,
        clock: Clock,
    ) -> None:
        self.name = "market-announcer"
        self.depends_on = ("bus",)
        self._bus = bus
        self._feeds = feeds
        self._interval_ns = settings.event_interval_ms * 1_000_000
        self._errors = errors
        self._clock = clock
        self._tasks = TaskSet(self.name, on_error=lambda _, exc: errors.classify(exc) and None)
        self._state = ComponentState.NEW
        self._summaries: dict[UUID, _Summary] = {}
        self._told: dict[FeedKey, FeedState] = {}
        self._told_all_ns = 0
        self._summed_ns = 0

    @property
    def state(self) -> ComponentState:
        """DEGRADED while the bus takes nothing."""
        return self._tasks.judged(self._state)

    async def start(self) -> None:
        """Publish from now on."""
        self._tasks.keep(self._run, name="announce", clock=self._clock)
        self._state = ComponentState.HEALTHY

    async def stop(self) -> None:
        """Stop publishing."""
        await self._tasks.close()
        self._state = ComponentState.STOPPED

    def ticks(self, source: QuoteSource, batch: TickBatch) -> None:
        """Count a batch into the next summary of its stream."""
        summary = self._summaries.get(source.stream.id)
        if summary is None:
            summary = _Summary(source, batch.first_sequence)
            self._summaries[source.stream.id] = summary
        summary.count += batch.count

    async def _run(self) -> None:
        while True:
            await self._clock.sleep(ROUND_S)
            try:
                await self._tell_feeds()
                await self._tell_ticks()
            except AitradingError as exc:
                self._errors.classify(exc)
                self._told.clear()
                self._state = ComponentState.DEGRADED
            else:
                self._state = ComponentState.HEALTHY

    async def _tell_feeds(self) -> None:
        now_ns = self._clock.monotonic_ns()
        if now_ns - self._told_all_ns >= REPEAT_NS:
            self._told_all_ns = now_ns
            self._told.clear()
        for stream, feed in self._feeds.all():
            before = self._told.get(stream.feed_key)
            if before is not feed.state:
                await self._tell_feed(stream, feed, before)
                self._told[stream.feed_key] = feed.state

    async def _tell_feed(self, stream: BridgeStream, feed: Feed, before: FeedState | None) -> None:
        last_ms = self._feeds.last_event_ms(stream.feed_key)
        event = FeedStateChanged(
            device=stream.device.device,
            symbol=feed.symbol,
            previous=before,
            state=feed.state,
            reason=feed.reason,
            last_event_ms=last_ms,
            deadline_ms=self._feeds.deadline_ms(stream.feed_key),
        )
        await self._bus.publish(event, tenant=stream.device.tenant)

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
