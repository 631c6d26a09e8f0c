"""`aitrading metrics`: what a person and a program see of the history."""

import json
from typing import Any

import pytest

from aitrading.server.cli.sparkline import GAP, WIDTH, sparkline
from aitrading.server.database_service.metrics_history.errors import METRIC_UNKNOWN

LIST = "GET /internal/v1/admin/metrics"
HISTORY = "GET /internal/v1/admin/metrics/history"
KEPT = {
    "service": "api-gateway",
    "name": "aitrading_errors_total",
    "kind": "counter",
    "series": 2,
    "labels": ["code", "severity"],
    "last_seen_on": "2026-11-28",
}


def history(kind: str, steps: list[dict[str, Any]], whole: dict[str, Any] | None) -> Any:
    begun = [{"begins": f"2026-11-28T10:0{n}:00.000000Z", **s} for n, s in enumerate(steps)]
    told = None if whole is None else {"begins": "2026-11-28T10:00:00.000000Z", **whole}
    series = {"service": "a", "labels": {"code": "X\x1b[31m"}, "whole": told, "steps": begun}
    return {
        "name": "m",
        "kind": kind,
        "begins": "2026-11-28T10:00:00.000000Z",
        "ends": "2026-11-28T10:04:00.000000Z",
        "step_s": 60,
        "resolution": "samples",
        "series": [series],
    }


COUNTED = history(
    "counter",
    [
        {"increase": 0, "per_second": 0},
        {"gap": True, "seen": 0},
        {"increase": 60, "per_second": 1},
        {"increase": 1, "per_second": 0.01},
    ],
    {"increase": 61, "per_second": 0.339, "seen": 0.75},
)


def test_metrics_are_listed_by_service(run: Any, supervisor: Any) -> None:
    supervisor.answers = {LIST: {"items": [KEPT]}}
    shown = run("metrics", "list", "--service", "api-gateway")
    assert supervisor.calls[0]["query"] == {"service": "api-gateway"}
    assert "aitrading_errors_total" in shown.stdout
    assert json.loads(run("metrics", "list", "--json").stdout) == [KEPT]


def test_a_line_shows_a_gap_as_no_value(run: Any, supervisor: Any) -> None:
    supervisor.answers = {HISTORY: COUNTED}
    shown = run("metrics", "show", "m", "--since", "2h", "--labels", "code:X", "--step", "1m")
    assert f"▁{GAP}█▂" in shown.stdout
    assert " 75%" in shown.stdout
    assert "\x1b" not in shown.stdout, "a label steers no terminal, and there is no colour"
    assert "samples" in shown.stderr
    asked = supervisor.calls[0]["query"]
    assert (asked["name"], asked["labels"], asked["step"]) == ("m", "code:X", "60")
    assert "service" not in asked
    every = run("metrics", "show", "m", "--steps").stdout.splitlines()
    assert len(every) == 5
    assert every[2].endswith("gap")
    for line in every[1:]:
        assert ("gap" in line) == ("2026-11-28T10:01:00Z" in line)


def test_a_program_sees_a_gap_without_a_value(run: Any, supervisor: Any) -> None:
    supervisor.answers = {HISTORY: COUNTED}
    told = json.loads(run("metrics", "show", "m", "--json").stdout)
    steps = told["series"][0]["steps"]
    assert steps[1] == {"begins": "2026-11-28T10:01:00.000000Z", "gap": True, "seen": 0}
    assert steps[0]["increase"] == 0


def test_levels_and_distributions_have_their_own_columns(run: Any, supervisor: Any) -> None:
    level = {"lowest": 1, "highest": 3, "average": 2, "last": 3}
    supervisor.answers = {HISTORY: history("gauge", [level], level)}
    assert run("metrics", "show", "m").stdout.split()[:6] == [
        *("SERVICE", "LABELS", "LOWEST", "AVERAGE", "HIGHEST", "LAST"),
    ]
    took = {"count": 3, "per_second": 0.1, "average": 0.5, "quantiles": {"0.5": 0.4, "0.99": 2}}
    nothing = {"count": 0, "per_second": 0}
    supervisor.answers = {HISTORY: history("histogram", [took, nothing], took)}
    shown = run("metrics", "show", "m").stdout
    assert "P0.5" in shown
    assert "P0.99" in shown
    supervisor.answers = {HISTORY: history("histogram", [{"gap": True, "seen": 0}], None)}
    assert "never" in run("metrics", "show", "m").stdout


@pytest.mark.parametrize("bad", ["1x", "0h", "-1h", "1", "h", "1h30m", "999999999w"])
def test_a_length_of_time_is_a_number_with_a_unit(run: Any, bad: str) -> None:
    assert run("metrics", "show", "m", "--since", bad).exit_code == 2


def test_an_unknown_name_is_an_answer_with_near_ones(run: Any, supervisor: Any) -> None:
    refusal = METRIC_UNKNOWN.error(name="mm", of="", near="m_total, m_s")
    supervisor.answers = {HISTORY: refusal}
    shown = run("metrics", "show", "mm")
    assert shown.exit_code == 1
    assert "m_total, m_s" in shown.stderr
    assert shown.stdout == ""


def test_a_sparkline_never_draws_what_nobody_knows() -> None:
    assert sparkline([]) == ""
    assert sparkline([None, None]) == GAP * 2
    assert sparkline([0.0, None, 4.0]) == f"▁{GAP}█"
    assert sparkline([3.0, 3.0], from_zero=False) == "▁▁"
    assert sparkline([5.0, 6.0], from_zero=False) == "▁█"
    assert sparkline([0.0, 0.001, 1.0]) == "▁▂█", "little is not nothing"
    assert sparkline([-1.0, 1.0], from_zero=False) == "▁█"
    long = sparkline([None] * 500 + [1.0] * 500)
    assert (len(long), long.count(GAP)) == (WIDTH, WIDTH // 2)
