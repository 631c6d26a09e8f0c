"""The committed baseline: which figures it knows, and what a comparison says of each."""

import asyncio
import importlib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from aitrading.server.benchmarks import pool, store
from aitrading.server.benchmarks.real_ticks import REAL_TICKS
from aitrading.server.benchmarks.report import (
    BENCHMARKS,
    Baseline,
    Comparison,
    Result,
    compare,
    run_benchmark,
)

FILE = Path(__file__).parents[3] / "benchmarks/baseline.json"
BASELINE = Baseline(
    smaller_is_better={"a.ratio": 2.0},
    larger_is_better={"b.ratio": 3.0},
    at_most={"c.ms": 10},
    at_least={"d.ratio": 100},
)


def compared(figures: dict[str, float | None], **reasons: str) -> Comparison:
    told: dict[str, float | None] = {"a.ratio": 1, "b.ratio": 9, "c.ms": 1, "d.ratio": 999}
    named = {name.replace("_", "."): reason for name, reason in reasons.items()}
    result = Result(bench="x", figures=told | figures, machine={}, took_s=1, reasons=named)
    return compare([result], BASELINE)


@pytest.mark.parametrize(
    ("name", "held", "broken"),
    [
        ("a.ratio", 3.0, 3.1),
        ("b.ratio", 2.0, 1.9),
        ("c.ms", 10.0, 10.1),
        ("d.ratio", 100.0, 99.9),
    ],
)
def test_ratios_may_drift_and_bars_may_not(name: str, held: float, broken: float) -> None:
    assert compared({name: held}) == Comparison(worse=[], skipped=[])
    found = compared({name: broken})
    assert [sentence.partition(":")[0] for sentence in found.worse] == [name]
    assert found.skipped == []


def test_what_cannot_be_measured_is_skipped_with_its_reason_and_not_worse() -> None:
    found = compared({"c.ms": None}, c_ms="no such server")
    assert found.worse == []
    assert found.skipped == ["c.ms: not measured here: no such server"]


def test_a_figure_that_no_benchmark_tells_is_worse() -> None:
    found = compare([], BASELINE)
    assert len(found.worse) == 4
    assert found.skipped == []


def test_the_bars_of_the_stores_are_in_the_committed_file() -> None:
    baseline = msgspec.json.decode(FILE.read_bytes(), type=Baseline, strict=True)
    named = {name for each in msgspec.structs.astuple(baseline) for name in each}
    assert {name.partition(".")[0] for name in named} <= {*BENCHMARKS, "cache"}  # told by `auth`
    assert (baseline.at_least["pool.ratio"], baseline.at_least["pool.tenant_ratio"]) == (100, 30)
    assert baseline.at_most["store.point_read_p99_ms"] == 10
    assert baseline.at_most["store.analytics_10m_p50_ms"] == 100
    assert baseline.at_most["store.cache_read_p50_ms"] == 1


def test_every_figure_of_the_pool_says_why_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "postgres15_missing", lambda: "it is not here")
    monkeypatch.setattr(pool, "REASONS", dict.fromkeys(pool.REASONS, "it is not here"))
    result = run_benchmark("pool")
    wanted = msgspec.json.decode(FILE.read_bytes(), type=Baseline)
    of_pool = Baseline(
        at_least={name: bar for name, bar in wanted.at_least.items() if name in result.figures}
    )
    assert len(of_pool.at_least) == 2
    found = compare([result], of_pool)
    assert found.worse == []
    assert all("it is not here" in sentence for sentence in found.skipped)
    assert len(found.skipped) == 2


@pytest.mark.integration
def test_the_stores_are_measured_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole benchmark, made short: every figure the baseline asks for is there."""
    short: dict[str, Any] = {
        "POINT_READS": 100,
        "CACHE_READS": 100,
        "ANALYSED_ROWS": 20_000,
        "LARGE_SEGMENT_ROWS": 10_000,
        "SEGMENT_ROWS": 1_000,
        "QUESTIONS": 1,
    }
    for name, value in short.items():
        monkeypatch.setattr(store, name, value)
    monkeypatch.delenv(REAL_TICKS, raising=False)
    figures = asyncio.run(importlib.import_module(store.__name__).run())
    baseline = msgspec.json.decode(FILE.read_bytes(), type=Baseline)
    wanted = {
        name
        for each in msgspec.structs.astuple(baseline)
        for name in each
        if name.startswith("store.")
    }
    assert wanted <= set(figures)
    missing = {name for name, value in figures.items() if value is None}
    assert missing == set(store.REASONS)
    assert figures["store.cache_read_floor_p50_ms"] > 0
