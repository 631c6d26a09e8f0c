"""The benchmark of authentication measures what services run, and counts what it says it counts."""

from pathlib import Path

import msgspec
import pytest

from aitrading.core.testing.async_test import async_test
from aitrading.server.benchmarks import auth
from aitrading.server.benchmarks.report import Baseline, run_benchmark

BASELINE = Path(__file__).parents[3] / "benchmarks/baseline.json"


def short(monkeypatch: pytest.MonkeyPatch, **sizes: int) -> None:
    few = {"ROUNDS": 1, "TOKENS": 5, "PEOPLE": 100, "SIMULATED_S": 20}
    for name, value in (few | sizes).items():
        monkeypatch.setattr(auth, name, value)


def test_every_figure_that_has_a_bar_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    short(monkeypatch)
    figures = run_benchmark("auth").figures
    wanted = msgspec.json.decode(BASELINE.read_bytes(), type=Baseline)
    barred = {name for each in msgspec.structs.astuple(wanted) for name in each}
    assert {name for name in barred if name.startswith(("auth.", "cache."))} <= set(figures)
    assert all(value is not None and value > 0 for value in figures.values())


@async_test
async def test_a_miss_is_a_signature_that_one_of_the_caches_did_not_know(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Everybody's first token once in each process, in four seconds of five requests each."""
    short(monkeypatch, SIMULATED_S=4, PEOPLE=40)
    assert await auth.Peak().hit_rate() == pytest.approx(1 - auth.PROCESSES / 20)


@async_test
async def test_sessions_that_end_cost_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    short(monkeypatch)
    calm = await auth.Peak().hit_rate()
    monkeypatch.setattr(auth, "ENDED_PER_MINUTE", 0.5)
    assert await auth.Peak().hit_rate() < calm
