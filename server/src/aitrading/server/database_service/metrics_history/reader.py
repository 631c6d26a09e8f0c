"""Answers questions about the history: which series, how fine, and what they were."""

from collections import defaultdict
from collections.abc import Collection
from difflib import get_close_matches
from typing import Final

from aitrading.core.infrastructure.metrics import MetricKind
from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.server.database_service.guards import Guards
from aitrading.server.database_service.metrics_history.answer import (
    NOT_YET_INTERVALS,
    found_of,
    moment,
    steps_of,
)
from aitrading.server.database_service.metrics_history.catalogue import Catalogue
from aitrading.server.database_service.metrics_history.errors import (
    METRIC_LABELS_UNKNOWN,
    METRIC_SERVICE_UNKNOWN,
    METRIC_STEP_TOO_FINE,
    METRIC_UNKNOWN,
)
from aitrading.server.database_service.metrics_history.place import HistoryPlace
from aitrading.server.database_service.metrics_history.port import StepsQuestion
from aitrading.server.database_service.metrics_history.question import (
    MAX_POINTS,
    MAX_SERIES,
    MetricQuestion,
    Range,
    range_of,
    require_room,
)
from aitrading.server.database_service.metrics_history.series import Series, seen_of
from aitrading.server.database_service.metrics_history.settings import HistorySettings
from aitrading.server.database_service.metrics_history.shapes import (
    MetricHistory,
    MetricKindOf,
    MetricNames,
)

NEAR: Final = 5
MAX_KNOWN_CHARS: Final = 400


class HistoryReader:
    """Reads; what an answer may hold is bounded before the store is asked."""

    def __init__(
        self,
        place: HistoryPlace,
        catalogue: Catalogue,
        guards: Guards,
        settings: HistorySettings,
        clock: Clock,
    ) -> None:
        self._place = place
        self._catalogue = catalogue
        self._guards = guards
        self._settings = settings
        self._clock = clock

    def names(self, service: str | None) -> MetricNames:
        """Every metric that was seen, of one service or of all."""
        self._require_service(service)
        by_name: dict[tuple[str, str, MetricKind], list[Series]] = defaultdict(list)
        for series in self._catalogue:
            if service in {None, series.service}:
                by_name[series.service, series.name, series.kind].append(series)
        return MetricNames(
            items=[
                MetricKindOf(
                    service=key[0],
                    name=key[1],
                    kind=key[2].value,
                    series=len(found),
                    labels=tuple(sorted({name for each in found for name, _ in each.labels})),
                    last_seen_on=max(map(self._catalogue.last_seen, found)).isoformat(),
                )
                for key, found in sorted(by_name.items())
            ]
        )

    async def history(self, question: MetricQuestion) -> MetricHistory:
        """Raises a `METRIC_…` error for a question that has no answer, before any work."""
        self._require_service(question.service)
        series = self._chosen(question)
        now_s = self._clock.now_ns() // NS_PER_S
        asked = range_of(question, now_s, self._settings.sample_s)
        require_room(len(series), "series", MAX_SERIES)
        require_room(len(series) * asked.steps, "points", MAX_POINTS)
        seen = {seen_of(each.service).id for each in series}
        wanted = StepsQuestion(
            series=sorted({each.id for each in series} | seen),
            resolution=asked.resolution,
            from_s=asked.from_s,
            to_s=asked.to_s,
            step_s=asked.step_s,
            limit=_most_rows(series, seen, asked),
        )
        async with self._guards.reads.slot():
            rows = await self._place.reads.run(lambda: self._place.store.steps(wanted))
        told = rows[[int(each) in seen for each in rows["series"]]]
        if len(told) and asked.step_s < (interval_s := int(told["high"].max())):
            raise METRIC_STEP_TOO_FINE.error(step_s=asked.step_s, least_s=interval_s)
        found, until_s = found_of(rows), now_s - NOT_YET_INTERVALS * self._settings.sample_s
        return MetricHistory(
            name=question.name,
            kind=series[0].kind.value,
            begins=moment(asked.from_s),
            ends=moment(asked.to_s),
            step_s=asked.step_s,
            resolution=asked.resolution.value.name,
            series=[steps_of(each, found, asked, question.quantiles, until_s) for each in series],
        )

    def _require_service(self, service: str | None) -> None:
        known = self._catalogue.services()
        if service is not None and service not in known:
            raise METRIC_SERVICE_UNKNOWN.error(service=service[:64], known=", ".join(known))

    def _chosen(self, question: MetricQuestion) -> list[Series]:
        of_service = [s for s in self._catalogue if question.service in {None, s.service}]
        named = [series for series in of_service if series.name == question.name]
        if not named:
            names = {series.name for series in of_service}
            raise METRIC_UNKNOWN.error(
                name=question.name,
                of=f" of {question.service}" if question.service else "",
                near=", ".join(near_names(question.name, names)) or "nothing",
            )
        wanted = question.labels.items()
        chosen = [series for series in named if wanted <= dict(series.labels).items()]
        if not chosen:
            known = sorted({f"{k}:{v}" for series in named for k, v in series.labels})
            raise METRIC_LABELS_UNKNOWN.error(
                name=question.name,
                labels=",".join(f"{k}:{v}" for k, v in wanted)[:MAX_KNOWN_CHARS],
                known=", ".join(known)[:MAX_KNOWN_CHARS] or "no labels",
            )
        kind = chosen[-1].kind
        return sorted(series for series in chosen if series.kind is kind)


def near_names(name: str, names: Collection[str]) -> list[str]:
    """Names that somebody who typed this one may have meant: alike, or with it inside."""
    inside = sorted(each for each in names if name.lower() in each.lower())
    alike = get_close_matches(name, sorted(names), n=NEAR, cutoff=0.6)
    return list(dict.fromkeys((*inside[:NEAR], *alike)))[:NEAR]


def _most_rows(series: Collection[Series], seen: Collection[int], asked: Range) -> int:
    parts = sum(len(each.bounds) + 2 if each.bounds else 1 for each in series)
    return (parts + len(seen)) * asked.steps
