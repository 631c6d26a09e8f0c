"""What is asked, and how finely it can be answered; pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from aitrading.server.database_service.metrics_history.errors import (
    METRIC_ANSWER_TOO_LARGE,
    METRIC_RANGE_REFUSED,
    METRIC_STEP_TOO_FINE,
)
from aitrading.server.database_service.metrics_history.port import DAY_S, HOUR_S, Resolution

DEFAULT_RANGE_S: Final = HOUR_S
MAX_STEPS: Final = 2_000
MAX_SERIES: Final = 200
MAX_POINTS: Final = 20_000
"""Steps times series of one answer."""
WANTED_STEPS: Final = 120
"""Where no step is asked for, about so many are given."""
ROUND_STEPS_S: Final = (15, 30, 60, 300, 900, HOUR_S, 3 * HOUR_S, 6 * HOUR_S, DAY_S, 7 * DAY_S)
QUANTILES: Final = (0.5, 0.9, 0.99)
_KEPT_DAYS: Final = max(each.value.kept_s for each in Resolution) // DAY_S


@dataclass(frozen=True, kw_only=True)
class MetricQuestion:
    """One metric over a stretch of time; what is not said is chosen."""

    name: str
    service: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    from_s: int | None = None
    to_s: int | None = None
    step_s: int | None = None
    quantiles: tuple[float, ...] = QUANTILES


@dataclass(frozen=True, kw_only=True)
class Range:
    """Whole steps, and from which points they are made."""

    resolution: Resolution
    from_s: int
    to_s: int
    step_s: int

    @property
    def steps(self) -> int:
        """How many."""
        return (self.to_s - self.from_s) // self.step_s


def range_of(question: MetricQuestion, now_s: int, sample_s: int) -> Range:
    """The coarsest points that are kept so far back and fit into the step.

    Raises `METRIC_RANGE_REFUSED`, `METRIC_STEP_TOO_FINE` or `METRIC_ANSWER_TOO_LARGE`.
    """
    to_s = now_s if question.to_s is None else min(question.to_s, now_s)
    from_s = to_s - DEFAULT_RANGE_S if question.from_s is None else question.from_s
    _check_order(from_s, to_s, question.to_s, now_s)
    kept = [each for each in Resolution if now_s - from_s <= each.value.kept_s]
    if not kept:
        raise _refused("it begins too long ago")
    least_s = max(kept[0].value.step_s, sample_s)
    step_s = question.step_s or _chosen_step(to_s - from_s, least_s)
    usable = [each for each in kept if step_s % each.value.step_s == 0]
    if not usable or step_s < sample_s:
        raise METRIC_STEP_TOO_FINE.error(step_s=step_s, least_s=least_s)
    found = Range(
        resolution=usable[-1],
        from_s=from_s // step_s * step_s,
        to_s=-(-to_s // step_s) * step_s,
        step_s=step_s,
    )
    require_room(found.steps, "steps", MAX_STEPS)
    return found


def require_room(wanted: int, what: str, limit: int) -> None:
    """Raise `METRIC_ANSWER_TOO_LARGE` beyond the limit."""
    if wanted > limit:
        raise METRIC_ANSWER_TOO_LARGE.error(wanted=wanted, what=what, limit=limit)


def _check_order(from_s: int, to_s: int, asked_to_s: int | None, now_s: int) -> None:
    if from_s >= now_s:
        raise _refused("it begins in the future")
    if from_s >= (to_s if asked_to_s is None else asked_to_s):
        raise _refused("it ends before it begins")


def _chosen_step(length_s: int, least_s: int) -> int:
    for step_s in ROUND_STEPS_S:
        if step_s >= least_s and step_s % least_s == 0 and length_s <= step_s * WANTED_STEPS:
            return step_s
    return ROUND_STEPS_S[-1]


def _refused(reason: str) -> Exception:
    return METRIC_RANGE_REFUSED.error(reason=reason, kept_days=_KEPT_DAYS)
