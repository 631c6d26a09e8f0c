"""OBS-04: declared metrics, bounded labels, Prometheus text."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from aitrading.core.infrastructure import metrics as metrics_module
from aitrading.core.infrastructure.metrics import Metric, MetricKind, Metrics, Reading

TICKS = Metric(
    name="aitrading_test_ticks_total", kind=MetricKind.COUNTER, help="Ticks.", labels=("device",)
)
DEPTH = Metric(name="aitrading_test_depth", kind=MetricKind.GAUGE, help="Depth.")
TOOK = Metric(
    name="aitrading_test_took_s", kind=MetricKind.HISTOGRAM, help="Time.", buckets=(0.1, 1.0)
)


def samples(metrics: Metrics) -> dict[tuple[str, str], float]:
    return {
        (sample.name, ",".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def test_counters_gauges_and_histograms_are_rendered() -> None:
    metrics = Metrics()
    metrics.increment(TICKS, 5, device="a")
    metrics.increment(TICKS, device="a")
    metrics.set(DEPTH, 7)
    metrics.observe(TOOK, 0.5)
    metrics.observer(TOOK)(0.05)
    found = samples(metrics)
    assert found["aitrading_test_ticks_total", "a"] == 6
    assert found["aitrading_test_depth", ""] == 7
    assert found["aitrading_test_took_s_bucket", "0.1"] == 1
    assert found["aitrading_test_took_s_bucket", "1.0"] == 2
    assert found["aitrading_test_took_s_count", ""] == 2


def test_two_processes_in_one_do_not_share_numbers() -> None:
    one, two = Metrics(), Metrics()
    one.increment(TICKS, device="a")
    assert samples(two) == {}


def test_readings_of_parts_are_taken_at_each_scrape() -> None:
    metrics, depth = Metrics(), [1.0]
    metrics.add_source(lambda: [Reading(DEPTH, depth[0]), Reading(TICKS, 3, ("b",))])
    assert samples(metrics)["aitrading_test_depth", ""] == 1
    depth[0] = 2.0
    assert samples(metrics)["aitrading_test_depth", ""] == 2
    assert samples(metrics)["aitrading_test_ticks_total", "b"] == 3


def test_too_many_label_values_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_module, "MAX_LABEL_SETS", 2)
    metrics = Metrics()
    for device in "abcda":
        metrics.increment(TICKS, device=device)
    found = samples(metrics)
    assert found["aitrading_test_ticks_total", "a"] == 2
    assert found["aitrading_test_ticks_total", "overflow"] == 2
    assert len(found) == 3


def test_a_metric_is_used_as_declared() -> None:
    metrics = Metrics()
    with pytest.raises(ValueError, match="is a counter, used as a gauge"):
        metrics.set(TICKS, 1, device="a")
    with pytest.raises(KeyError):
        metrics.increment(TICKS)
    with pytest.raises(ValueError, match="has the labels"):
        metrics.increment(TICKS, device="a", colour="red")
