"""The benchmark of the edge measures the edge: a real Envoy, a verified token, a floor beside it."""

import pytest

from aitrading.server.benchmarks import gateway
from aitrading.server.benchmarks.report import run_benchmark

pytestmark = pytest.mark.integration


def test_every_figure_is_there_or_says_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "ROUNDS", 1)
    monkeypatch.setattr(gateway, "REQUESTS", 1_000)
    result = run_benchmark("gateway")
    missing = {name for name, value in result.figures.items() if value is None}
    assert missing == set(result.reasons) == {"gateway.get_per_s"}
    assert set(result.figures) >= {"gateway.edge_ratio", "gateway.edge_us", "gateway.floor_us"}
