"""What the history answers, as people and programs read it."""

import msgspec


class MetricKindOf(msgspec.Struct, frozen=True, kw_only=True):
    """One metric of one service: how many series it has and when one was seen last."""

    service: str
    name: str
    kind: str
    series: int
    labels: tuple[str, ...]
    last_seen_on: str


class MetricNames(msgspec.Struct, frozen=True, kw_only=True):
    """Every metric, by service and name."""

    items: list[MetricKindOf]


class MetricStep(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One step; `seen` is the share of it of which the history knows how the process was.

    A gap has nothing else. A counter has `increase` and `per_second`; a gauge `lowest`, `highest`,
    `average` and `last`; a distribution `count`, `per_second`, `average` and `quantiles`. A gauge
    that was not told has none.
    """

    begins: str
    seen: float = 1.0
    gap: bool = False
    increase: float | None = None
    per_second: float | None = None
    lowest: float | None = None
    highest: float | None = None
    average: float | None = None
    last: float | None = None
    count: float | None = None
    quantiles: dict[str, float] | None = None


class SeriesSteps(msgspec.Struct, frozen=True, kw_only=True):
    """One series, every step of the stretch in order, gaps included.

    `whole` is the stretch as one step; null when the service was never seen in it.
    """

    service: str
    labels: dict[str, str]
    whole: MetricStep | None
    steps: list[MetricStep]


class MetricHistory(msgspec.Struct, frozen=True, kw_only=True):
    """How a metric was; `resolution` says which points the steps are made of."""

    name: str
    kind: str
    begins: str
    ends: str
    step_s: int
    resolution: str
    series: list[SeriesSteps]
