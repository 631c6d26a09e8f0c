"""What the history of metrics keeps of a text, how growth is told, and which questions it answers."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrading.core.infrastructure.health.readings import PROCESS_INFO, PROCESS_UPTIME
from aitrading.core.infrastructure.metrics import Metric, MetricKind, Metrics
from aitrading.core.kit.errors import AitradingError
from aitrading.server.database_service.metrics_history.answer import quantile_of
from aitrading.server.database_service.metrics_history.exposition import TextReader
from aitrading.server.database_service.metrics_history.growth import RESUMED_S, Growth, Reached
from aitrading.server.database_service.metrics_history.port import Resolution
from aitrading.server.database_service.metrics_history.question import (
    MAX_STEPS,
    MetricQuestion,
    range_of,
)
from aitrading.server.database_service.metrics_history.reader import near_names
from aitrading.server.database_service.metrics_history.series import SUM, Series

COUNTED = Metric(
    name="test_counted_total", kind=MetricKind.COUNTER, help="x", labels=("route", "tenant")
)
PLAIN = Metric(name="test_plain_total", kind=MetricKind.COUNTER, help="x")
LEVEL = Metric(name="test_level", kind=MetricKind.GAUGE, help="x", labels=("state",))
TOOK = Metric(name="test_took_s", kind=MetricKind.HISTOGRAM, help="x", buckets=(0.1, 1.0))
NOW_S = 1_700_000_000
DAY_S = 86_400


def process(instance: str, uptime_s: float = 60) -> Metrics:
    metrics = Metrics()
    metrics.set(PROCESS_INFO, 1, service="a", instance=instance, version="1")
    metrics.set(PROCESS_UPTIME, uptime_s)
    return metrics


def grown(growth: Growth, metrics: Metrics, at_s: int) -> dict[str, float]:
    """What is new of each counter, stored at once."""
    snapshot = TextReader().read("a", metrics.render())
    points = list(growth.points("a", snapshot, at_s))
    growth.stored("a", snapshot)
    return {series.name: point.amount for series, point in points if "total" in series.name}


def test_labels_that_name_a_process_or_a_customer_are_summed_away() -> None:
    metrics = process("a-1")
    metrics.increment(COUNTED, 3, route="/x", tenant="acme")
    metrics.increment(COUNTED, 4, route="/x", tenant="other")
    found = {
        reading.series: reading.parts for reading in TextReader().read("a", metrics.render())[2]
    }
    counted = Series("a", COUNTED.name, MetricKind.COUNTER, (("route", "/x"),))
    assert found[counted] == ((0, 7.0),)
    assert "acme" not in repr(found)
    info = Series("a", PROCESS_INFO.name, MetricKind.GAUGE, (("service", "a"), ("version", "1")))
    assert info in found


def test_a_distribution_is_kept_bucket_by_bucket() -> None:
    metrics = process("a-1")
    for value in (0.05, 0.06, 0.5, 7.0):
        metrics.observe(TOOK, value)
    series = Series("a", TOOK.name, MetricKind.HISTOGRAM, (), (0.1, 1.0))
    parts = {r.series: dict(r.parts) for r in TextReader().read("a", metrics.render())[2]}[series]
    assert parts == {SUM: pytest.approx(7.61), 1: 2, 2: 1, 3: 1}


def test_what_is_not_a_number_or_too_long_is_left_out() -> None:
    metrics = process("a-1")
    metrics.set(LEVEL, math.nan, state="x")
    metrics.set(LEVEL, 1, state="y" * 500)
    snapshot = TextReader().read("a", metrics.render())
    assert not [reading for reading in snapshot.readings if reading.series.name == LEVEL.name]
    assert snapshot.refused == 1


def test_text_of_another_program_is_refused_by_name() -> None:
    for text in (b"<html>", b"\xff\xfe", b"a{b=} 1", b'{"error": 1}'):
        with pytest.raises(AitradingError) as caught:
            TextReader().read("a", text)
        assert caught.value.code == "EXPOSITION_UNREADABLE"


def test_a_process_that_began_again_counts_from_nothing() -> None:
    growth, before, after = Growth(()), process("a-1"), process("a-2", uptime_s=5)
    before.increment(PLAIN, 10)
    assert grown(growth, before, NOW_S) == {PLAIN.name: 10}
    before.increment(PLAIN, 5)
    assert grown(growth, before, NOW_S + 15) == {PLAIN.name: 5}
    assert grown(growth, before, NOW_S + 30) == {}
    after.increment(PLAIN, 40)
    assert grown(growth, after, NOW_S + 45) == {PLAIN.name: 40}


def test_growth_that_was_not_stored_comes_with_the_next_points() -> None:
    growth, metrics = Growth(()), process("a-1")
    metrics.increment(PLAIN, 10)
    grown(growth, metrics, NOW_S)
    metrics.increment(PLAIN, 5)
    lost = dict(growth.points("a", TextReader().read("a", metrics.render()), NOW_S + 15))
    assert {point.amount for series, point in lost.items() if series.name == PLAIN.name} == {5}
    metrics.increment(PLAIN, 1)
    assert grown(growth, metrics, NOW_S + 30) == {PLAIN.name: 6}


def test_another_keeper_goes_on_where_the_store_is() -> None:
    series, metrics = Series("a", PLAIN.name, MetricKind.COUNTER), process("a-1", uptime_s=600)
    metrics.increment(PLAIN, 30)
    stored = {(series.id, 0): Reached(NOW_S - 60, 25.0)}
    same, newer, forgotten = Growth(()), Growth(()), Growth(())
    same.resume(stored, [series.id])
    assert grown(same, metrics, NOW_S) == {PLAIN.name: 5}
    newer.resume({(series.id, 0): Reached(NOW_S - 900, 25.0)}, [series.id])
    assert grown(newer, metrics, NOW_S) == {PLAIN.name: 30}, "it began after the stored point"
    old = process("a-1", uptime_s=RESUMED_S + 600)
    old.increment(PLAIN, 30)
    forgotten.resume({}, [series.id])
    assert grown(forgotten, old, NOW_S) == {}, "nobody knows when it counted that"
    assert grown(Growth(()), metrics, NOW_S) == {PLAIN.name: 30}, "a series nobody knew is new"


@given(
    st.lists(
        st.one_of(st.integers(0, 50), st.sampled_from(["restart", "lost"])),
        min_size=1,
        max_size=30,
    )
)
def test_growth_adds_up_to_what_was_counted(events: "list[int | str]") -> None:
    """Whatever dies and whatever is lost: nothing twice, and missing only what died unseen."""
    growth, number = Growth(()), 1
    metrics, counted, unseen, told, due = process("a-1"), 0, 0, 0.0, 0
    for round_number, event in enumerate(events, 1):
        if event == "restart":
            unseen, due, number = unseen + due, 0, number + 1
            metrics = process(f"a-{number}", uptime_s=1)
        elif event == "lost":
            list(growth.points("a", TextReader().read("a", metrics.render()), round_number * 15))
        else:
            amount = int(event)
            metrics.increment(PLAIN, amount)
            counted, due = counted + amount, due + amount
            if amount % 2 == 0:  # half of the rounds reach the store
                told += sum(grown(growth, metrics, round_number * 15).values())
                due = 0
    assert told == counted - unseen - due


def test_a_labelled_level_that_was_never_but_nothing_is_not_kept() -> None:
    metrics = process("a-1")
    metrics.set(LEVEL, 0, state="FAILED")
    metrics.set(LEVEL, 1, state="HEALTHY")
    failed = Series("a", LEVEL.name, MetricKind.GAUGE, (("state", "FAILED"),))
    snapshot = TextReader().read("a", metrics.render())

    def states(growth: Growth) -> set[str]:
        return {
            dict(series.labels)["state"]
            for series, _ in growth.points("a", snapshot, NOW_S)
            if series.name == LEVEL.name
        }

    assert states(Growth(())) == {"HEALTHY"}
    assert states(Growth((failed.id,))) == {"HEALTHY", "FAILED"}, (
        "once it was, its 0 says it ended"
    )


@pytest.mark.parametrize(
    ("back_s", "step_s", "resolution", "step"),
    [
        (3_600, None, Resolution.SAMPLES, 30),
        (3_600, 15, Resolution.SAMPLES, 15),
        (3_600, 300, Resolution.FIVE_MINUTES, 300),
        (3_600, 3_600, Resolution.HOURS, 3_600),
        (7 * DAY_S, None, Resolution.HOURS, 3 * 3_600),
        (7 * DAY_S, 600, Resolution.FIVE_MINUTES, 600),
        (399 * DAY_S, None, Resolution.HOURS, 7 * DAY_S),
    ],
)
def test_the_coarsest_points_that_answer_are_taken(
    back_s: int, step_s: int | None, resolution: Resolution, step: int
) -> None:
    asked = MetricQuestion(name="a", from_s=NOW_S - back_s, step_s=step_s)
    found = range_of(asked, NOW_S, 15)
    assert (found.resolution, found.step_s) == (resolution, step)
    assert found.from_s <= NOW_S - back_s
    assert NOW_S <= found.to_s < NOW_S + step
    assert found.from_s % step == found.to_s % step == 0


@pytest.mark.parametrize(
    ("question", "code"),
    [
        ({"from_s": NOW_S}, "METRIC_RANGE_REFUSED"),
        ({"from_s": NOW_S - 10, "to_s": NOW_S - 20}, "METRIC_RANGE_REFUSED"),
        ({"from_s": NOW_S - 10, "to_s": NOW_S - 10}, "METRIC_RANGE_REFUSED"),
        ({"from_s": NOW_S - 401 * DAY_S}, "METRIC_RANGE_REFUSED"),
        ({"from_s": 0}, "METRIC_RANGE_REFUSED"),
        ({"from_s": NOW_S - 3 * DAY_S, "step_s": 60}, "METRIC_STEP_TOO_FINE"),
        ({"from_s": NOW_S - 31 * DAY_S, "step_s": 300}, "METRIC_STEP_TOO_FINE"),
        ({"step_s": 5}, "METRIC_STEP_TOO_FINE"),
        ({"from_s": NOW_S - 29 * DAY_S, "step_s": 300}, "METRIC_ANSWER_TOO_LARGE"),
    ],
)
def test_an_absurd_question_is_refused_by_name(question: "dict[str, int]", code: str) -> None:
    with pytest.raises(AitradingError) as caught:
        range_of(MetricQuestion(name="a", **question), NOW_S, 15)
    assert caught.value.code == code
    assert str(MAX_STEPS) in caught.value.message or code != "METRIC_ANSWER_TOO_LARGE"


def test_a_quantile_lies_where_the_buckets_say() -> None:
    bounds = (0.1, 1.0, 10.0)
    assert quantile_of(0.5, bounds, (0, 0, 0, 0)) is None
    assert quantile_of(0.5, bounds, (10, 0, 0, 0)) == pytest.approx(0.05)
    assert quantile_of(0.5, bounds, (5, 10, 5, 0)) == pytest.approx(0.55)
    assert quantile_of(0.99, bounds, (0, 0, 0, 4)) == 10.0


def test_names_that_somebody_may_have_meant_are_near() -> None:
    names = {"aitrading_http_requests_total", "aitrading_errors_total", "aitrading_bridge_links"}
    assert near_names("aitrading_http_request_total", names)[0] == "aitrading_http_requests_total"
    assert near_names("links", names) == ["aitrading_bridge_links"]
    assert near_names("zzz", names) == []
