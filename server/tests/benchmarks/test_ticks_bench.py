"""The benchmarks of the whole way of ticks, small: a platform, clients beside twins, a floor.

Their own comparison of certificates makes them fail when one tick is lost or doubled by a cut wire,
a killed bridge or twice the peak of a day.
"""

import pytest

from aitrading.server.benchmarks import load, ticks, ticks_seen
from aitrading.server.benchmarks.real_ticks import REAL_TICKS
from aitrading.server.benchmarks.report import run_benchmark

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(480)]


def test_every_figure_is_there_and_no_tick_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(REAL_TICKS, raising=False)
    monkeypatch.setattr(ticks, "TICKS", 1_000)
    monkeypatch.setattr(ticks, "FAULTY_TICKS", 1_000)
    monkeypatch.setattr(ticks, "SYMBOLS", ("BENCH00", "BENCH01"))
    monkeypatch.setattr(ticks_seen, "WARM_S", 0.1)
    monkeypatch.setattr(ticks_seen, "SECONDS", 0.5)
    result = run_benchmark("ticks")
    missing = {name for name, value in result.figures.items() if value is None}
    assert missing == set(result.reasons) == {"ticks.bytes_per_tick"}
    assert result.figures["ticks.lost"] == result.figures["ticks.doubled"] == 0.0
    assert all(value for name, value in result.figures.items() if name.endswith("_per_s"))


def test_a_load_loses_nothing_and_is_told_from_beginning_to_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {"PEOPLE": 2, "SECONDS": 1.5, "WARM_S": 0.1, "EVERY_S": 0.5}.items():
        monkeypatch.setattr(load, name, value)
    result = run_benchmark("load")
    assert result.figures["load.lost"] == result.figures["load.doubled"] == 0.0
    assert (result.figures["load.ticks_per_s"] or 0.0) > 0
    assert all(value is not None for value in result.figures.values())
