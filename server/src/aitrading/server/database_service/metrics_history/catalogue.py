"""Which series there are: in memory for every question, in PostgreSQL for the next process.

Stores of points know only the numbers of series, and those are made from the texts: a catalogue
that was lost is whole again after one round.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Final

import msgspec

from aitrading.core.infrastructure.metrics import MetricKind
from aitrading.server.database_service.metrics_history.series import SEEN, Series
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.queries import Queries
from aitrading.server.kit.transactions import Row

KEPT_DAYS: Final = 400
"""As long as the coarsest points of a series."""
_SQL: Final = Queries.load(__package__ or "", "catalogue.sql")


class Catalogue:
    """Every series that was seen, at most so many of each service.

    A service that is full gives up the series nobody saw for longest, if that was before
    yesterday; otherwise the new one is refused.
    """

    def __init__(self, pool: PostgresPool, limit: int) -> None:
        self._pool = pool
        self._limit = limit
        self._series: dict[int, Series] = {}
        self._seen_on: dict[int, date] = {}
        self._of_service: dict[str, set[int]] = {}
        self._to_note: set[int] = set()
        self._to_forget: set[int] = set()

    def __contains__(self, key: object) -> bool:
        return key in self._series

    def __iter__(self) -> Iterator[Series]:
        return iter(self._series.values())

    def services(self) -> list[str]:
        """Everybody who was ever read, by name."""
        return sorted(self._of_service)

    def size_of(self, service: str) -> int:
        """How many series of a service are kept."""
        return len(self._of_service.get(service, ()))

    def last_seen(self, series: Series) -> date:
        """The day of its newest point (UTC)."""
        return self._seen_on[series.id]

    def admit(self, series: Series, at_s: int) -> bool:
        """Note that a series has a point now; False when its service is full."""
        key, today = series.id, datetime.fromtimestamp(at_s, UTC).date()
        if self._seen_on.get(key) == today:
            return True
        if key not in self._series and not self._room(series, today):
            return False
        self._put(key, series, today)
        self._to_note.add(key)
        return True

    async def load(self) -> None:
        """Know what the process before knew."""
        async with self._pool.platform_read() as tx:
            rows = await tx.fetch(_SQL["all"])
        for row in rows:
            if row["id"] not in self._series:
                self._put(row["id"], _series_of(row), row["last_seen_on"])

    async def save(self) -> None:
        """Write down what is new, and once a day what was seen; kept for later when it fails."""
        noted, forgotten = tuple(self._to_note), tuple(self._to_forget)
        if not noted and not forgotten:
            return
        async with self._pool.platform_tx() as tx:
            await tx.execute(_SQL["forget"], list(forgotten))
            await tx.execute_many(_SQL["note"], self._rows(noted))
        self._to_note.difference_update(noted)
        self._to_forget.difference_update(forgotten)

    async def forget_old(self, at_s: int) -> None:
        """Let go of series whose last point is older than anything kept."""
        before = datetime.fromtimestamp(at_s, UTC).date() - timedelta(days=KEPT_DAYS)
        for key in [key for key, seen in self._seen_on.items() if seen < before]:
            self._drop(key)
        async with self._pool.platform_tx() as tx:
            await tx.execute(_SQL["forget_before"], before)

    def _room(self, series: Series, today: date) -> bool:
        mine = self._of_service.get(series.service, set())
        if len(mine) < self._limit or series.name == SEEN.name:
            return True
        oldest = min(mine, key=lambda key: self._seen_on[key])
        if self._seen_on[oldest] >= today - timedelta(days=1):
            return False
        self._drop(oldest)
        self._to_forget.add(oldest)
        return True

    def _put(self, key: int, series: Series, seen: date) -> None:
        self._series[key], self._seen_on[key] = series, seen
        self._of_service.setdefault(series.service, set()).add(key)
        self._to_forget.discard(key)

    def _drop(self, key: int) -> None:
        series = self._series.pop(key)
        del self._seen_on[key]
        self._of_service[series.service].discard(key)
        self._to_note.discard(key)

    def _rows(self, keys: Iterable[int]) -> list[tuple[object, ...]]:
        return [
            (
                key,
                series.service,
                series.name,
                series.kind.value,
                msgspec.json.encode(series.labels).decode(),
                list(series.bounds),
                self._seen_on[key],
            )
            for key in keys
            if (series := self._series.get(key)) is not None
        ]


def _series_of(row: Row) -> Series:
    return Series(
        service=row["service"],
        name=row["name"],
        kind=MetricKind(row["kind"]),
        labels=msgspec.json.decode(row["labels"], type=tuple[tuple[str, str], ...]),
        bounds=tuple(row["bounds"]),
    )
