"""Metrics: declared once as constants, counted per process, rendered as Prometheus text.

A module declares what it measures and the composition root makes one `Metrics`::

    TICKS_RECEIVED = Metric(
        name="aitrading_bridge_ticks_received_total",
        kind=MetricKind.COUNTER,
        help="Ticks taken from device links.",
        labels=("device",),
    )
    metrics.increment(TICKS_RECEIVED, amount=100, device=str(device))
"""

from collections.abc import Callable, Generator, Iterable
from enum import StrEnum
from typing import Final, TypeVar

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from typing_extensions import override

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
MAX_LABEL_SETS: Final = 1_000
OVERFLOW: Final = "overflow"
DEFAULT_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0)


class MetricKind(StrEnum):
    """What a number means: a sum that only grows, a level, or a distribution."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """One declared metric; the catalogue in the documentation is generated from these.

    A counter's name ends in `_total`, and units are part of the name (`_s`, `_bytes`).
    """

    name: str
    kind: MetricKind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = DEFAULT_BUCKETS_S


class Reading(msgspec.Struct, frozen=True):
    """One value taken at scrape time from a part that keeps its own count."""

    metric: Metric
    value: float
    labels: tuple[str, ...] = ()


Source = Callable[[], Iterable[Reading]]


class Metrics:
    """The numbers of one process.

    A metric appears with its first use. Label values beyond `MAX_LABEL_SETS` sets per metric are
    counted together as `overflow`, so a hostile value cannot fill the memory.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}
        self._label_sets: dict[str, set[tuple[str, ...]]] = {}
        self._sources: list[Source] = []
        self._registry.register(_Pull(self._sources))

    def increment(self, metric: Metric, amount: float = 1.0, **labels: str) -> None:
        """Add to a counter."""
        counter = self._counters.get(metric.name)
        if counter is None:
            _require(metric, MetricKind.COUNTER)
            counter = Counter(metric.name, metric.help, metric.labels, registry=self._registry)
            self._counters[metric.name] = counter
        _child(counter, self._bounded(metric, labels)).inc(amount)

    def set(self, metric: Metric, value: float, **labels: str) -> None:
        """Set a gauge."""
        gauge = self._gauges.get(metric.name)
        if gauge is None:
            _require(metric, MetricKind.GAUGE)
            gauge = Gauge(metric.name, metric.help, metric.labels, registry=self._registry)
            self._gauges[metric.name] = gauge
        _child(gauge, self._bounded(metric, labels)).set(value)

    def observe(self, metric: Metric, value: float, **labels: str) -> None:
        """Add one value to a histogram."""
        self._distribution(metric, labels).observe(value)

    def observer(self, metric: Metric, **labels: str) -> Callable[[float], None]:
        """`observe` for a path that is taken very often: the labels are looked up once."""
        return self._distribution(metric, labels).observe

    def _distribution(self, metric: Metric, labels: dict[str, str]) -> Histogram:
        histogram = self._histograms.get(metric.name)
        if histogram is None:
            _require(metric, MetricKind.HISTOGRAM)
            histogram = Histogram(
                metric.name,
                metric.help,
                metric.labels,
                buckets=metric.buckets,
                registry=self._registry,
            )
            self._histograms[metric.name] = histogram
        return _child(histogram, self._bounded(metric, labels))

    def add_source(self, source: Source) -> None:
        """Ask this function for readings at every scrape; it must be cheap and not raise."""
        self._sources.append(source)

    def render(self) -> bytes:
        """The Prometheus text of everything (`CONTENT_TYPE`)."""
        return generate_latest(self._registry)

    def _bounded(self, metric: Metric, labels: dict[str, str]) -> tuple[str, ...]:
        values = tuple(labels[label] for label in metric.labels)
        if len(labels) != len(values):
            raise ValueError(f"{metric.name} has the labels {metric.labels}, got {labels}")
        known = self._label_sets.setdefault(metric.name, set())
        if values in known:
            return values
        if len(known) >= MAX_LABEL_SETS:
            return (OVERFLOW,) * len(values)
        known.add(values)
        return values


class _Pull(Collector):
    """Turns the sources' readings into families when Prometheus asks."""

    def __init__(self, sources: list[Source]) -> None:
        self._sources = sources

    @override
    def collect(self) -> Generator[CounterMetricFamily | GaugeMetricFamily]:
        families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
        for source in self._sources:
            for reading in source():
                metric = reading.metric
                family = families.get(metric.name)
                if family is None:
                    family = families[metric.name] = _family(metric)
                family.add_metric(reading.labels, reading.value)
        yield from families.values()


def _family(metric: Metric) -> CounterMetricFamily | GaugeMetricFamily:
    if metric.kind is MetricKind.COUNTER:
        return CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
    _require(metric, MetricKind.GAUGE)
    return GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)


def _require(metric: Metric, kind: MetricKind) -> None:
    if metric.kind is not kind:
        raise ValueError(f"{metric.name} is a {metric.kind}, used as a {kind}")


W = TypeVar("W", Counter, Gauge, Histogram)


def _child(family: W, values: tuple[str, ...]) -> W:
    return family.labels(*values) if values else family
