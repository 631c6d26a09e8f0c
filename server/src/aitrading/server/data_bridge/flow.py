"""Where a batch goes besides the disk: board, feed state, subscribers, bus."""

from typing import Final

from aitrading.core.domain.feed_state import FeedState
from aitrading.core.domain.market import TickBatch
from aitrading.core.infrastructure.config_manager import ConfigManager
from aitrading.core.infrastructure.lifecycle import ComponentState, TaskSet
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.kit.clock import Clock
from aitrading.core.logging.optimized_log_router import bind_context, get_logger
from aitrading.server.data_bridge.announcer import Announcer
from aitrading.server.data_bridge.calendars import Calendars
from aitrading.server.data_bridge.fanout import FanOut
from aitrading.server.data_bridge.feeds import Feed, FeedWatch
from aitrading.server.data_bridge.ingest import TickIngest
from aitrading.server.data_bridge.metrics import FEEDS, FEEDS_FORGOTTEN
from aitrading.server.data_bridge.quotes import QuoteBoard
from aitrading.server.data_bridge.settings import DoubtSettings
from aitrading.server.data_bridge.streams import BridgeStream, FeedKey, StreamDirectory
from aitrading.server.data_bridge.truth import TruthKeeper

JUDGE_S: Final = 0.25
FORGET_S: Final = 60.0
LOOKED_AT_ONCE: Final = 200
"""Feeds that are looked at before others may work."""

_log = get_logger(__name__)


class TickFlow:
    """Connects the parts; nothing here waits for anything but its turn."""

    def __init__(  # noqa: PLR0913 - the meeting point of the parts
        self,
        *,
        ingest: TickIngest,
        streams: StreamDirectory,
        board: QuoteBoard,
        feeds: FeedWatch,
        fan_out: FanOut,
        announcer: Announcer,
        truth: TruthKeeper,
        calendars: Calendars,
        config: ConfigManager,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self.name = "tick-flow"
        self._streams = streams
        self._board = board
        self._feeds = feeds
        self._fan_out = fan_out
        self._announcer = announcer
        self._truth = truth
        self._metrics = metrics
        self._clock = clock
        self._tasks = TaskSet(self.name)
        self._state = ComponentState.NEW
        ingest.on_batch = self._on_batch
        ingest.on_doubt = feeds.doubted
        ingest.is_unknown = lambda stream: calendars.is_unwanted(
            stream.device.tenant, stream.symbol
        )
        ingest.rules = lambda: config.get(DoubtSettings).rules
        feeds.on_change = self._on_feed_change
        streams.on_change = feeds.touched
        calendars.on_change = feeds.calendar_changed

    @property
    def state(self) -> ComponentState:
        """What it is doing now."""
        return self._tasks.judged(self._state)

    async def start(self) -> None:
        """Judge the feeds from now on."""
        self._tasks.keep(self._judge, name="judge", clock=self._clock)
        self._tasks.keep(self._forget, name="forget", clock=self._clock)
        self._state = ComponentState.HEALTHY

    async def stop(self) -> None:
        """Stop judging."""
        await self._tasks.close()
        self._state = ComponentState.STOPPED

    def _on_batch(self, stream: BridgeStream, batch: TickBatch) -> None:
        source = self._board.update(stream, batch, self._clock.monotonic_ns())
        if source is not None:
            state = self._feeds.ticked(source, batch)
            self._fan_out.ticks(source, batch, state)
            self._announcer.ticks(source, batch)

    def _on_feed_change(self, stream: BridgeStream, before: FeedState | None, feed: Feed) -> None:
        self._truth.feed_changed(stream, before, feed)
        self._fan_out.feed_changed(stream.device.tenant, feed)
        self._announcer.feed_changed(stream.feed_key)

    async def _judge(self) -> None:
        self._feeds.judge_all_again()  # also after a round that something unforeseen ended
        while True:
            await self._clock.sleep(JUDGE_S)
            for _ in self._feeds.judge_due():
                await self._clock.sleep(0)
            for state, count in self._feeds.counts():
                self._metrics.set(FEEDS, count, state=state)

    async def _forget(self) -> None:
        """Let go what nobody delivers any more, so that neither memory nor a plan's places fill."""
        while True:
            await self._clock.sleep(FORGET_S)
            for looked, key in enumerate(tuple(self._feeds.keys()), start=1):
                if self._feeds.is_over(key):
                    self._let_go(key)
                if looked % LOOKED_AT_ONCE == 0:
                    await self._clock.sleep(0)

    def _let_go(self, key: FeedKey) -> None:
        """An outage of it that is under way is kept: it ends with the feed's next tick."""
        tenant = self._streams.forget(key)
        if tenant is None:
            return
        self._feeds.forget(key)
        self._board.forget(tenant, key)
        self._announcer.forget(key)
        self._metrics.increment(FEEDS_FORGOTTEN)
        with bind_context(tenant=str(tenant)):
            _log.info("feed forgotten", symbol=key.symbol, device=str(key.device))
