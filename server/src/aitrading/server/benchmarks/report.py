"""Run benchmarks, describe the machine, and hold ratios against a committed baseline."""

import asyncio
import importlib
import math
import os
import platform
import signal
import sys
import time
from pathlib import Path

import msgspec

BENCHMARKS = (
    "startup",
    "bus",
    "store",
    "pool",
    "history",
    "tracing",
    "gateway",
    "ticks",
    "load",
    "ws",
    "users",
    "auth",
)
TOLERANCE = 1.5
"""A ratio may drift by this factor before a comparison fails: shared machines are noisy."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One benchmark's figures; a figure that cannot be measured here is null, with a reason."""

    bench: str
    figures: dict[str, float | None]
    machine: dict[str, str | int]
    took_s: float
    reasons: dict[str, str] = {}
    """Why a figure is null."""


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    """What must hold, by the name of a figure."""

    smaller_is_better: dict[str, float] = {}
    """Ratios as they were measured; they may drift by `TOLERANCE`."""
    larger_is_better: dict[str, float] = {}
    at_most: dict[str, float] = {}
    """Bars that were promised; nothing drifts."""
    at_least: dict[str, float] = {}


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One sentence for each figure that does not hold, and for each that could not be measured."""

    worse: list[str]
    skipped: list[str]


def run_benchmark(name: str, *, long: bool = False) -> Result:
    """Run one benchmark to its end in this process; told to end, it takes down what it started."""
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    module = importlib.import_module(f"aitrading.server.benchmarks.{name}")
    started = time.monotonic()
    on_loop = getattr(module, "on_loop", asyncio.run)
    figures: dict[str, float | None] = on_loop(module.run(long=long))
    return Result(
        bench=name,
        figures=figures,
        machine=machine(),
        took_s=round(time.monotonic() - started, 2),
        reasons={
            figure: reason
            for figure, reason in getattr(module, "REASONS", {}).items()
            if figures.get(figure) is None
        },
    )


def machine() -> dict[str, str | int]:
    """Say what the figures were measured on, without naming the host."""
    return {
        "cores": os.cpu_count() or 0,
        "architecture": platform.machine(),
        "system": platform.system(),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def compare(results: list[Result], baseline: Baseline) -> Comparison:
    """Hold the figures against the baseline.

    A figure that is null is skipped, with the reason its benchmark gives. One that no benchmark
    tells is worse: it was renamed or forgotten.
    """
    told = {name: result for result in results for name in result.figures}
    worse: list[str] = []
    skipped: list[str] = []
    for name, (low, high) in _limits(baseline).items():
        result = told.get(name)
        value = None if result is None else result.figures[name]
        if result is None:
            worse.append(f"{name}: no benchmark tells it")
        elif value is None:
            skipped.append(f"{name}: {_why_not(result, name)}")
        elif value > high:
            worse.append(f"{name}: {value:g} is over {high:g}")
        elif value < low:
            worse.append(f"{name}: {value:g} is under {low:g}")
    return Comparison(worse=worse, skipped=skipped)


def _limits(baseline: Baseline) -> dict[str, tuple[float, float]]:
    """The lowest and the highest value that each figure may have."""
    high = {name: value * TOLERANCE for name, value in baseline.smaller_is_better.items()}
    low = {name: value / TOLERANCE for name, value in baseline.larger_is_better.items()}
    high |= baseline.at_most
    low |= baseline.at_least
    return {name: (low.get(name, -math.inf), high.get(name, math.inf)) for name in low | high}


def write_results(folder: Path, results: list[Result]) -> Path:
    """Leave `latest.json` for the next reader."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "latest.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=2) + b"\n")
    return path


def _why_not(result: Result, figure: str) -> str:
    reason = result.reasons.get(figure)
    return f"not measured here: {reason}" if reason else "not measured here"


def table(results: list[Result]) -> str:
    """Render for a terminal: a row per figure."""
    rows = [
        (name, _why_not(result, name) if value is None else f"{value:,.3f}")
        for result in results
        for name, value in result.figures.items()
    ]
    width = max((len(name) for name, _ in rows), default=0)
    return "\n".join(f"{name:<{width}}  {value:>20}" for name, value in rows)
