"""`make prove`: goes on where it was, never tries a seed twice, forgets no failure."""

import importlib.util
import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from harness.platform import wait_until

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "scripts" / "prove.py"
Answer = tuple[int, list[str], list[dict[str, int]]]


class Points:
    """Stands for a test: counts its seeds, fails at one of them."""

    def __init__(self) -> None:
        self.bad = 0

    def __call__(self, _test: str, first: int, count: int) -> Answer:
        seeds = range(first, first + count)
        tally = {"points": count, "sum": sum(seeds)}
        return int(self.bad in seeds), ["what pytest said"], [tally]


@pytest.fixture
def prove(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program with one small campaign and results of its own."""
    spec = importlib.util.spec_from_file_location("prove", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "prove", module)
    spec.loader.exec_module(module)
    campaign = module.Campaign(
        name="points", test="points", unit="seeds", size=4, chunk=2, question="Does it count?"
    )
    monkeypatch.setattr(module, "CAMPAIGNS", (campaign,))
    monkeypatch.setattr(module, "RESULTS", tmp_path / "results")
    return module


@pytest.fixture
def points(prove: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Points:
    stand_in = Points()
    monkeypatch.setattr(prove, "run_test", stand_in)
    return stand_in


def run(prove: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["prove", *arguments])
    return prove.main()


def stored(prove: ModuleType) -> dict[str, Any]:
    newest = max(prove.RESULTS.glob("prove-*.json"))
    return json.loads(newest.read_text())["campaigns"]["points"]


@pytest.mark.usefixtures("points")
def test_a_campaign_is_run_in_chunks_and_counted(
    prove: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(prove, monkeypatch) == 0
    found = stored(prove)
    assert found["tally"] == {"points": 4, "sum": 1 + 2 + 3 + 4}
    assert (found["first"], found["done"], found["size"]) == (1, 4, 4)
    printed = capsys.readouterr()
    assert "passed" in printed.out
    assert "2 of 4 seeds" in printed.err


@pytest.mark.usefixtures("points")
def test_a_larger_campaign_goes_on_behind_what_was_done(
    prove: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(prove, monkeypatch) == 0
    assert run(prove, monkeypatch, "--scale", "1.5") == 0
    assert stored(prove)["tally"] == {"points": 6, "sum": 21}


def test_a_failure_is_told_kept_and_tried_again(
    prove: ModuleType,
    points: Points,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    points.bad = 3
    assert run(prove, monkeypatch) == 1
    printed = capsys.readouterr().out
    assert "seeds from 3" in printed
    assert "what pytest said" in printed
    assert stored(prove)["done"] == 2
    assert run(prove, monkeypatch) == 1
    (failure,) = stored(prove)["failures"]
    assert (failure["first"], failure["count"], failure["passed_at"]) == (3, 2, None)
    points.bad = 0
    assert run(prove, monkeypatch) == 0
    (failure,) = stored(prove)["failures"]
    assert failure["passed_at"]
    assert stored(prove)["tally"] == {"points": 4, "sum": 10}


@pytest.mark.usefixtures("points")
def test_the_next_result_file_goes_on_behind_the_last(
    prove: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(prove, monkeypatch) == 0
    age(prove)
    assert run(prove, monkeypatch) == 0
    assert stored(prove)["tally"] == {"points": 4, "sum": 5 + 6 + 7 + 8}


def test_an_unfinished_file_of_another_day_is_finished_first(
    prove: ModuleType, points: Points, monkeypatch: pytest.MonkeyPatch
) -> None:
    points.bad = 3
    assert run(prove, monkeypatch) == 1
    old = age(prove)
    points.bad = 0
    assert run(prove, monkeypatch) == 0
    assert [*prove.RESULTS.iterdir()] == [old]


def age(prove: ModuleType) -> Path:
    """Make today's result one of an earlier day."""
    (today,) = prove.RESULTS.glob("prove-*.json")
    return today.rename(prove.RESULTS / "prove-2001-01-01.json")


def test_a_test_that_cannot_run_here_says_why(prove: ModuleType, tmp_path: Path) -> None:
    test = tmp_path / "test_disk.py"
    test.write_text("import pytest\n\ndef test_disk():\n    pytest.skip('no disk to cut')\n")
    progress = prove.Progress(unit="cuts", question="", first=1, size=1)
    campaign = replace(prove.CAMPAIGNS[0], test=str(test))
    assert not prove.run_chunk(campaign, progress, 1, 1)
    assert progress.skipped == "no disk to cut"
    assert progress.verdict == "skipped"


def test_ctrl_c_stops_and_loses_no_finished_chunk(tmp_path: Path) -> None:
    home = tmp_path / "copy"
    (home / "scripts").mkdir(parents=True)
    program = home / "scripts" / "prove.py"
    program.write_text(PROGRAM.read_text().replace("chunk=500", "chunk=2"))
    (home / "core").symlink_to(ROOT / "core")
    (home / "pyproject.toml").symlink_to(ROOT / "pyproject.toml")
    with subprocess.Popen(
        [sys.executable, str(program), "--only", "link-simulation"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as running:
        results = home / "benchmarks" / "results"
        wait_until(lambda: list(results.glob("*.json")), what="a finished chunk", timeout_s=150)
        running.send_signal(signal.SIGINT)
        said, _ = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "unfinished" in said
    (path,) = results.glob("*.json")
    done = json.loads(path.read_text())["campaigns"]["link-simulation"]
    assert done["done"] >= 2
    assert done["done"] % 2 == 0
    assert done["tally"]["ticks"] > 0
