"""The part `data-collector`: looks at its sources and queues what is new for the server."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aitrading.client.data_collector.known_notes import KnownNotes
from aitrading.client.data_collector.settings import DataSourcesSettings
from aitrading.client.data_collector.sources import SOURCES, Source
from aitrading.core.infrastructure.config_manager import ConfigManager
from aitrading.core.infrastructure.device_settings import DataCollectorSettings
from aitrading.core.infrastructure.error_handler import RECONNECT_FOREVER, ErrorHandler
from aitrading.core.infrastructure.lifecycle import ComponentState, TaskSet
from aitrading.core.infrastructure.metrics import Metric, MetricKind, Metrics
from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.core.kit.errors import AitradingError, FieldValue
from aitrading.core.kit.randomness import Randomness
from aitrading.core.logging.optimized_log_router import get_logger
from aitrading.core.protocol.device_notes import NewsNote

PERIOD_S: Final = 1.0
COLLECTED: Final = Metric(
    name="aitrading_client_news_total",
    kind=MetricKind.COUNTER,
    help="News and calendar entries that were queued for the server.",
    labels=("source",),
)
REJECTED: Final = Metric(
    name="aitrading_client_news_rejected_total",
    kind=MetricKind.COUNTER,
    help="Entries of sources that were not as they should be.",
    labels=("source",),
)

_log = get_logger(__name__)


@dataclass(slots=True)
class _Looked:
    """One source and how it went."""

    source: Source
    is_looking: bool = False
    looked_ns: int | None = None
    wait_s: float | None = None
    """After a failure: how long until the next look, if that is sooner than the interval."""
    failures: int = 0
    collected: int = 0
    rejected: int = 0
    problem: str = ""

    def is_due(self, now_ns: int, interval_s: float) -> bool:
        """Whether it is time for the next look."""
        if self.looked_ns is None:
            return True
        wait_s = interval_s if self.wait_s is None else min(interval_s, self.wait_s)
        return now_ns - self.looked_ns >= wait_s * NS_PER_S

    @property
    def text(self) -> str:
        """In one word, or with what is wrong."""
        if self.source.is_idle:
            return "idle"
        return self.problem or f"{self.collected} new"


class DataCollector:
    """Reads each source that the settings name, in its own time; one failing keeps no other back."""

    def __init__(
        self,
        config: ConfigManager,
        known: KnownNotes,
        folder: Path,
        put: Callable[[NewsNote], Awaitable[bool]],
        *,
        clock: Clock,
        randomness: Randomness,
        errors: ErrorHandler,
        metrics: Metrics,
    ) -> None:
        self._config = config
        self._known = known
        self._folder = folder
        self._put = put
        self._clock = clock
        self._randomness = randomness
        self._errors = errors
        self._metrics = metrics
        self._looked: dict[str, _Looked] = {}

    @property
    def state(self) -> ComponentState:
        """DEGRADED while a source cannot be read, or holds what is not understood."""
        wrong = any(each.problem for each in self._looked.values())
        return ComponentState.DEGRADED if wrong else ComponentState.HEALTHY

    def statistics(self) -> dict[str, FieldValue]:
        """For health: each source in one line."""
        return {name: each.text for name, each in self._looked.items()}

    async def run(self) -> None:
        """Look for ever; a source that takes its time holds up itself alone."""
        await asyncio.to_thread(self._known.load)
        places = self._config.get(DataSourcesSettings)
        async with TaskSet("data-collector") as tasks:
            while True:
                self._arrange(self._config.get(DataCollectorSettings).sources, places)
                for each in self._due():
                    each.is_looking = True
                    tasks.start(self._look(each), name=each.source.name)
                await self._clock.sleep(PERIOD_S)

    def _arrange(self, names: tuple[str, ...], places: DataSourcesSettings) -> None:
        """Keep the sources that the settings name, and what is known of them."""
        self._looked = {
            name: self._looked.get(name) or _Looked(SOURCES[name](places, self._folder))
            for name in names
        }

    def _due(self) -> list[_Looked]:
        now_ns = self._clock.monotonic_ns()
        interval_s = float(self._config.get(DataCollectorSettings).interval_s)
        return [
            each
            for each in self._looked.values()
            if not each.source.is_idle and not each.is_looking and each.is_due(now_ns, interval_s)
        ]

    async def _look(self, looked: _Looked) -> None:
        try:
            await self._look_once(looked)
        except Exception as exc:  # noqa: BLE001 - whatever it was: it is told, and looked at again
            self._errors.classify(exc)
            looked.failures += 1
            looked.problem = exc.message if isinstance(exc, AitradingError) else str(exc)
            looked.wait_s = RECONNECT_FOREVER.delay_s(looked.failures, self._randomness)
        finally:
            looked.is_looking = False

    async def _look_once(self, looked: _Looked) -> None:
        looked.looked_ns = self._clock.monotonic_ns()
        entries = await asyncio.to_thread(looked.source.look)
        await self._queue(looked, entries.notes)
        looked.failures, looked.wait_s = 0, None
        looked.problem = entries.first_problem
        if entries.rejected:
            self._metrics.increment(REJECTED, entries.rejected, source=looked.source.name)
            looked.rejected += entries.rejected
            _log.warning(
                "entries left out",
                source=looked.source.name,
                entries=entries.rejected,
                first=entries.first_problem,
            )

    async def _queue(self, looked: _Looked, notes: list[NewsNote]) -> None:
        """Queue what is new; what the queue does not take is looked at again later."""
        fresh = self._known.new_of(notes)
        for note in fresh:
            if not await self._put(note):
                looked.source.forget()
                break
            self._known.add(note)
            looked.collected += 1
            self._metrics.increment(COLLECTED, source=looked.source.name)
        if fresh:
            await asyncio.to_thread(self._known.save)
