"""The benchmark of the edge measures the edge: a real Envoy, a verified token, a floor beside it."""

import pytest

from aitrading.server.benchmarks import gateway, quote_requests
from aitrading.server.benchmarks.report import run_benchmark

pytestmark = pytest.mark.integration


def test_every_figure_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "ROUNDS", 1)
    monkeypatch.setattr(gateway, "REQUESTS", 1_000)
    monkeypatch.setattr(quote_requests, "WARM_S", 0.1)
    monkeypatch.setattr(quote_requests, "SECONDS", 0.3)
    result = run_benchmark("gateway")
    assert set(result.figures) == {
        "gateway.edge_ratio", "gateway.edge_us", "gateway.floor_us", "gateway.get_per_s",
    }  # fmt: skip
    assert all(result.figures.values())
