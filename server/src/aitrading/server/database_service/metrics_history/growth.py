"""From what counters have reached to how much they grew; pure.

A counter begins at nothing with its process, so growth is what it reached since it was last stored,
or all of it when the process is a new one. What was not stored stays due: growth is taken from
what the store has, never from what was only read.
"""

from collections.abc import Collection, Container, Generator, Mapping
from typing import Final, NamedTuple

from aitrading.core.infrastructure.metrics import MetricKind
from aitrading.server.database_service.metrics_history.exposition import Snapshot
from aitrading.server.database_service.metrics_history.series import Series

RESUMED_S: Final = 48 * 3_600
"""How far back the store is asked what counters had reached."""
MAX_PROCESSES: Final = 64
Part = tuple[int, int]
"""Id of a series, and the part of it."""


class Point(NamedTuple):
    """What is stored of one part: growth, or the level of a gauge, and what was reached."""

    series: int
    part: int
    amount: float
    reached: float


class Reached(NamedTuple):
    """What a part had reached, and when that was stored."""

    at_s: int
    value: float


class Growth:
    """Remembers, per process, what its counters had reached when they were last stored.

    `kept` are the series of the catalogue, as it is at each moment.
    """

    def __init__(self, kept: Container[int]) -> None:
        self._kept = kept
        self._reached: dict[tuple[str, str], dict[Part, float]] = {}
        self._resumed: Mapping[Part, Reached] = {}
        self._known: Collection[int] = ()

    def resume(self, stored: Mapping[Part, Reached], known: Collection[int]) -> None:
        """Begin with what the store has; `known` are the series it has ever seen."""
        self._resumed, self._known = stored, frozenset(known)

    def points(
        self, service: str, snapshot: Snapshot, at_s: int
    ) -> Generator[tuple[Series, Point]]:
        """Points of one process; nothing is remembered until they are stored.

        A counter that did not grow needs none, nor does a labelled gauge that was never other
        than 0: both are told by the service having been seen.
        """
        before = self._reached.get((service, snapshot.instance))
        began_s = 0 if snapshot.uptime_s is None else at_s - snapshot.uptime_s
        for reading in snapshot.readings:
            series, parts = reading
            key = series.id
            if series.kind is MetricKind.GAUGE:
                asleep = series.labels and key not in self._kept
                for part, value in parts:
                    if value or not asleep:
                        yield series, Point(key, part, value, value)
                continue
            for part, value in parts:
                base = self._base((key, part), before, value, began_s, at_s)
                if value > base:
                    yield series, Point(key, part, value - base, value)

    def stored(self, service: str, snapshot: Snapshot) -> None:
        """The points of this snapshot are in the store."""
        place = service, snapshot.instance
        self._reached.pop(place, None)
        while len(self._reached) >= MAX_PROCESSES:
            del self._reached[next(iter(self._reached))]
        self._reached[place] = {
            (reading.series.id, part): value
            for reading in snapshot.readings
            if reading.series.kind is not MetricKind.GAUGE
            for part, value in reading.parts
        }

    def _base(
        self,
        part: Part,
        before: Mapping[Part, float] | None,
        value: float,
        began_s: float,
        at_s: int,
    ) -> float:
        """From where growth counts."""
        if before is not None:
            reached = before.get(part, 0.0)
            return reached if value >= reached else 0.0
        stored = self._resumed.get(part)
        if stored is not None:
            return stored.value if stored.at_s >= began_s and value >= stored.value else 0.0
        if part[0] in self._known and began_s < at_s - RESUMED_S:
            return value  # it counted while nobody looked, nobody knows when
        return 0.0
