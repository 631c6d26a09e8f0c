"""`aitrading-client bench`: measures on this machine, without a server and without a broker."""

import asyncio
import os
import platform
from collections.abc import Mapping

import click

from aitrading.client.command_line import json_option, show, told
from aitrading.core.kit.clock import NS_PER_S, SystemClock


@click.group()
def bench() -> None:
    """Measure the client on this machine, against the simulated terminal."""


@bench.command()
@json_option
@told
def workers(*, as_json: bool) -> None:
    """How many workers there are while orders step 1, 50, 1 a second, and what a call costs."""
    from aitrading.client.benchmarks.workers import measure_workers  # noqa: PLC0415 - slow

    clock = SystemClock()
    began_ns = clock.monotonic_ns()
    report = asyncio.run(measure_workers(clock))
    took_s = round((clock.monotonic_ns() - began_ns) / NS_PER_S, 1)
    if as_json:
        _show_json("workers", report.figures, took_s, series=report.series)
        return
    for second, per_s, count in report.series:
        click.echo(f"{second:>4} s  {per_s:>3} orders/s  {'#' * count} {count}")
    _print(report.figures)


@bench.command()
@json_option
@told
def reads(*, as_json: bool) -> None:
    """How many reads are answered from memory, and how long a page waits, with and without."""
    from aitrading.client.benchmarks.reads import measure_reads  # noqa: PLC0415 - slow to import

    clock = SystemClock()
    began_ns = clock.monotonic_ns()
    figures = asyncio.run(measure_reads(clock))
    if as_json:
        took_s = round((clock.monotonic_ns() - began_ns) / NS_PER_S, 1)
        _show_json("reads", figures, took_s)
    else:
        _print(figures)


@bench.command()
@json_option
@told
def buffers(*, as_json: bool) -> None:
    """What a pool of arrays would save of a tick's way to the disk."""
    from aitrading.client.benchmarks.buffers import measure_buffers  # noqa: PLC0415 - slow to import

    clock = SystemClock()
    began_ns = clock.monotonic_ns()
    figures = asyncio.run(measure_buffers(clock))
    if as_json:
        took_s = round((clock.monotonic_ns() - began_ns) / NS_PER_S, 1)
        _show_json("buffers", figures, took_s)
    else:
        _print(figures)


def _print(figures: Mapping[str, float]) -> None:
    for name, figure in figures.items():
        click.echo(f"{name:<32} {figure:g}")


def _show_json(
    bench_name: str, figures: Mapping[str, float], took_s: float, **more: object
) -> None:
    machine = {"cpus": os.cpu_count(), "system": platform.platform()}
    answer = {
        "bench": bench_name,
        "figures": figures,
        "machine": machine,
        "took_s": took_s,
        **more,
    }
    show(answer, as_json=True)
