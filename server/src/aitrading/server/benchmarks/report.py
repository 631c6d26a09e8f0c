"""Run benchmarks, describe the machine, and hold ratios against a committed baseline."""

import asyncio
import importlib
import os
import platform
import time
from pathlib import Path

import msgspec

BENCHMARKS = ("startup", "bus", "store", "pool", "history")
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
    """Ratios that must hold: figure name to its value and the better direction."""

    smaller_is_better: dict[str, float] = {}
    larger_is_better: dict[str, float] = {}


def run_benchmark(name: str, *, long: bool = False) -> Result:
    """Run one benchmark to its end in this process."""
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


def compare(results: list[Result], baseline: Baseline) -> list[str]:
    """Return one sentence for every ratio that is worse than the baseline allows."""
    figures = {name: value for result in results for name, value in result.figures.items()}
    worse: list[str] = []
    for name, wanted in baseline.smaller_is_better.items():
        value = figures.get(name)
        if value is None or value > wanted * TOLERANCE:
            worse.append(f"{name}: {value} is over {wanted} times {TOLERANCE}")
    for name, wanted in baseline.larger_is_better.items():
        value = figures.get(name)
        if value is None or value < wanted / TOLERANCE:
            worse.append(f"{name}: {value} is under {wanted} divided by {TOLERANCE}")
    return worse


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
