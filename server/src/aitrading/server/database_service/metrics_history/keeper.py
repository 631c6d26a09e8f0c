"""Reads everybody's metrics at whole multiples of an interval and stores what is new in them.

What cannot be stored is never made up for: the services count as not seen, which is a gap. Growth
is taken from what the store has, so nothing a counter counted is lost with it, or counted twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from typing_extensions import override

from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.looping import LoopingComponent
from aitrading.core.infrastructure.metrics import MetricKind, Metrics
from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.core.kit.errors import AitradingError
from aitrading.server.database_service.metrics_history.catalogue import Catalogue
from aitrading.server.database_service.metrics_history.errors import METRIC_SERIES_LIMIT
from aitrading.server.database_service.metrics_history.growth import (
    RESUMED_S,
    Growth,
    Part,
    Point,
)
from aitrading.server.database_service.metrics_history.metrics import (
    DROPPED,
    REFUSED,
    ROUND_SECONDS,
    SERIES,
    STORED,
)
from aitrading.server.database_service.metrics_history.place import HistoryPlace
from aitrading.server.database_service.metrics_history.series import WHOLE, Series, seen_of
from aitrading.server.database_service.metrics_history.settings import HistorySettings
from aitrading.server.database_service.metrics_history.sources import Heard, Sources

FORGET_EVERY_S: Final = 3_600


@dataclass(frozen=True, kw_only=True)
class _Round:
    """What was read at one moment, and what is to be stored of it."""

    at_s: int
    heard: Sequence[Heard]
    points: Sequence[Point]


class HistoryKeeper(LoopingComponent):
    """One round per interval; a store that is away costs points and nothing else."""

    critical: ClassVar[bool] = False
    depends_on: ClassVar[tuple[str, ...]] = ("clickhouse-schema", "central-hub")

    def __init__(
        self,
        place: HistoryPlace,
        catalogue: Catalogue,
        sources: Sources,
        settings: HistorySettings,
        clock: Clock,
        errors: ErrorHandler,
        metrics: Metrics,
    ) -> None:
        super().__init__("metrics-history", on_error=errors.classify)
        self._place = place
        self._catalogue = catalogue
        self._sources = sources
        self._settings = settings
        self._clock = clock
        self._errors = errors
        self._metrics = metrics
        self._growth = Growth(catalogue)
        self._resumed = False
        self._unsure: _Round | None = None
        self._last_s = 0
        self._forgot_s = 0
        self._full: set[str] = set()

    @override
    async def start(self) -> None:
        """Read from now on."""
        self._tasks.keep(self._read_for_ever, name="read", clock=self._clock)
        self._state = ComponentState.HEALTHY

    @override
    async def stop(self) -> None:
        """Read no more."""
        await self._tasks.close()
        await self._sources.close()
        self._state = ComponentState.STOPPED

    async def round(self, at_s: int) -> None:
        """Read everybody and store it as of this moment; never raises for a store that is away."""
        if at_s <= self._last_s:
            return  # the clock was set back: that moment is told
        self._last_s = at_s
        began_ns = self._clock.monotonic_ns()
        heard = await self._sources.hear()
        try:
            await self._settle(at_s)
            await self._store(_Round(at_s=at_s, heard=heard, points=self._points(heard, at_s)))
        except AitradingError as exc:
            self._errors.classify(exc)
            return
        elapsed_s = (self._clock.monotonic_ns() - began_ns) / NS_PER_S
        self._metrics.observe(ROUND_SECONDS, elapsed_s)

    def _next_in_s(self) -> float:
        interval_ns = self._settings.sample_s * NS_PER_S
        return (interval_ns - self._clock.now_ns() % interval_ns) / NS_PER_S

    async def _read_for_ever(self) -> None:
        while True:
            await self._clock.sleep(self._next_in_s())
            interval_s = self._settings.sample_s
            at_s = self._clock.now_ns() // NS_PER_S // interval_s * interval_s
            await self.round(at_s)
            await self._forget(at_s)

    async def _settle(self, at_s: int) -> None:
        """Know what the store has: of the process before, and of a write that said nothing."""
        if not self._resumed:
            await self._catalogue.load()
            with self._place.reads.guard():
                stored = await self._place.store.reached(at_s - RESUMED_S)
            self._growth.resume(stored, [series.id for series in self._catalogue])
            self._resumed = True
        if self._unsure is not None:
            before = self._unsure
            mark = seen_of(before.heard[0].service).id
            with self._place.reads.guard():
                if await self._place.store.holds(mark, before.at_s):
                    self._note_stored(before)
            self._unsure = None

    async def _store(self, found: _Round) -> None:
        await self._save_names()
        try:
            with self._place.writes.guard():
                await self._place.store.write(found.at_s, found.points)
        except BaseException:
            self._unsure = found
            self._metrics.increment(DROPPED, len(found.points))
            raise
        self._note_stored(found)
        self._metrics.increment(STORED, len(found.points))

    async def _save_names(self) -> None:
        """Points are stored without them too: the names come again with the next round."""
        try:
            with self._place.names.guard():
                await self._catalogue.save()
        except AitradingError as exc:
            self._errors.classify(exc)

    def _note_stored(self, found: _Round) -> None:
        for each in found.heard:
            self._growth.stored(each.service, each.snapshot)

    def _points(self, heard: Sequence[Heard], at_s: int) -> list[Point]:
        """Of several processes of one name, growth is added and the highest level taken."""
        merged: dict[Part, Point] = {}
        refused: dict[str, int] = {}
        for service, snapshot in heard:
            refused[service] = refused.get(service, 0) + snapshot.refused
            for series, point in self._growth.points(service, snapshot, at_s):
                if not self._catalogue.admit(series, at_s):
                    refused[service] += 1
                    continue
                part = point.series, point.part
                merged[part] = _together(series, merged.get(part), point)
        for service in {each.service for each in heard}:
            seen = seen_of(service)
            self._catalogue.admit(seen, at_s)
            amount = float(self._settings.sample_s)
            merged[seen.id, WHOLE] = Point(seen.id, WHOLE, amount, float(at_s))
        for service, count in refused.items():
            self._tell_of(service, count)
        return list(merged.values())

    def _tell_of(self, service: str, refused: int) -> None:
        self._metrics.set(SERIES, self._catalogue.size_of(service), service=service)
        if refused:
            self._metrics.increment(REFUSED, refused, service=service)
        limit = self._settings.series_per_service
        if refused and service not in self._full:
            self._errors.classify(
                METRIC_SERIES_LIMIT.error(service=service, limit=limit, refused=refused)
            )
            self._full.add(service)
        elif self._catalogue.size_of(service) < limit:
            self._full.discard(service)

    async def _forget(self, at_s: int) -> None:
        if at_s - self._forgot_s < FORGET_EVERY_S:
            return
        try:
            await self._catalogue.forget_old(at_s)
            with self._place.writes.guard():
                await self._place.store.forget(at_s)
        except AitradingError as exc:
            self._errors.classify(exc)
        self._forgot_s = at_s


def _together(series: Series, one: Point | None, other: Point) -> Point:
    if one is None:
        return other
    if series.kind is MetricKind.GAUGE:
        return max(one, other)
    return Point(one.series, one.part, one.amount + other.amount, one.reached + other.reached)
