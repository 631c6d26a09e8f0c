"""From rows of a store to steps that tell a gap from nothing happening; pure."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

import msgspec

from aitrading.core.infrastructure.metrics import MetricKind
from aitrading.server.database_service.clickhouse.port import Rows
from aitrading.server.database_service.metrics_history.question import Range
from aitrading.server.database_service.metrics_history.series import SUM, WHOLE, Series, seen_of
from aitrading.server.database_service.metrics_history.shapes import MetricStep, SeriesSteps

NOT_YET_INTERVALS: Final = 2
"""So many intervals may pass before a step at the end counts as a gap: it may not be told yet."""


class Row(NamedTuple):
    """One step of one part, as the store has it."""

    samples: int
    total: float
    low: float
    high: float
    last: float

    def then(self, later: "Row") -> "Row":
        """Both together."""
        return Row(
            self.samples + later.samples,
            self.total + later.total,
            min(self.low, later.low),
            max(self.high, later.high),
            later.last,
        )


class Told(NamedTuple):
    """What is known of one series within one stretch of time."""

    begins_s: int
    known_s: float
    """Seconds of it in which the service was seen."""
    seen: float
    parts: Mapping[int, Row]


Steps = Mapping[int, Mapping[int, Row]]
"""By begin and part."""
_NOT_SEEN: Final = {WHOLE: Row(0, 0.0, 0.0, 0.0, 0.0)}


def found_of(rows: Rows) -> Mapping[int, Steps]:
    """Rows by series."""
    found: dict[int, dict[int, dict[int, Row]]] = {}
    for series, part, begins_s, *values in rows.tolist():
        found.setdefault(series, {}).setdefault(begins_s, {})[part] = Row(*values)
    return found


def steps_of(
    series: Series,
    found: Mapping[int, Steps],
    asked: Range,
    quantiles: Sequence[float],
    told_until_s: int,
) -> SeriesSteps:
    """Every step of the range, without a gap at its end that began too late to be sure of it."""
    seen, own = found.get(seen_of(series.service).id, {}), found.get(series.id, {})
    steps: list[MetricStep] = []
    known: list[Told] = []
    for begins_s in range(asked.from_s, asked.to_s, asked.step_s):
        known_s = min(seen.get(begins_s, _NOT_SEEN)[WHOLE].total, float(asked.step_s))
        if known_s:
            share = round(known_s / asked.step_s, 3)
            known.append(Told(begins_s, known_s, share, own.get(begins_s, {})))
            steps.append(_step(series, known[-1], quantiles))
        else:
            steps.append(MetricStep(begins=moment(begins_s), seen=0.0, gap=True))
    ends_s = asked.to_s
    while steps and steps[-1].gap and ends_s > told_until_s:
        steps.pop()  # it may be told yet
        ends_s -= asked.step_s
    return SeriesSteps(
        service=series.service,
        labels=dict(series.labels),
        whole=_step(series, _together(known, asked), quantiles) if known else None,
        steps=steps,
    )


def moment(at_s: int) -> str:
    """RFC 3339 in UTC with microseconds."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def quantile_of(share: float, bounds: Sequence[float], counts: Sequence[float]) -> float | None:
    """Where this share of what was observed lies, as far as the buckets tell; None of nothing.

    Within a bucket values are taken as spread evenly; beyond the last bound that bound is told.
    """
    total = sum(counts)
    if total <= 0:
        return None
    wanted, below = share * total, 0.0
    for number, bound in enumerate(bounds):
        count = counts[number]
        if count and below + count >= wanted:
            lower = bounds[number - 1] if number else min(0.0, bound)
            return lower + (bound - lower) * (wanted - below) / count
        below += count
    return bounds[-1] if bounds else None


def _together(known: Sequence[Told], asked: Range) -> Told:
    """The whole range as one step."""
    parts: dict[int, Row] = {}
    for each in known:
        for part, row in each.parts.items():
            parts[part] = parts[part].then(row) if part in parts else row
    known_s = sum(each.known_s for each in known)
    return Told(asked.from_s, known_s, round(known_s / (asked.to_s - asked.from_s), 3), parts)


def _step(series: Series, told: Told, quantiles: Sequence[float]) -> MetricStep:
    if series.kind is MetricKind.HISTOGRAM:
        return _distribution(series, told, quantiles)
    return _counter(told) if series.kind is MetricKind.COUNTER else _gauge(told)


def _counter(told: Told) -> MetricStep:
    grown = told.parts[WHOLE].total if WHOLE in told.parts else 0.0
    return MetricStep(
        begins=moment(told.begins_s),
        seen=told.seen,
        increase=grown,
        per_second=grown / told.known_s,
    )


def _gauge(told: Told) -> MetricStep:
    row = told.parts.get(WHOLE)
    if row is None:
        return MetricStep(begins=moment(told.begins_s), seen=told.seen)
    return MetricStep(
        begins=moment(told.begins_s),
        seen=told.seen,
        lowest=row.low,
        highest=row.high,
        average=row.total / row.samples,
        last=row.last,
    )


def _distribution(series: Series, told: Told, quantiles: Sequence[float]) -> MetricStep:
    counts = [
        told.parts[number].total if number in told.parts else 0.0
        for number in range(1, len(series.bounds) + 2)
    ]
    count = sum(counts)
    plain = MetricStep(
        begins=moment(told.begins_s),
        seen=told.seen,
        count=count,
        per_second=count / told.known_s,
    )
    if not count:
        return plain
    found = {f"{each:g}": quantile_of(each, series.bounds, counts) for each in quantiles}
    return msgspec.structs.replace(
        plain,
        average=told.parts[SUM].total / count if SUM in told.parts else None,
        quantiles={share: value for share, value in found.items() if value is not None},
    )
