"""`aitrading-client bench`: measures on this machine, without a server and without a broker."""

import asyncio
import os
import platform

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
        machine = {"cpus": os.cpu_count(), "system": platform.platform()}
        answer = {"bench": "workers", "figures": report.figures, "series": report.series,
                  "machine": machine, "took_s": took_s}  # fmt: skip
        show(answer, as_json=True)
        return
    for second, per_s, count in report.series:
        click.echo(f"{second:>4} s  {per_s:>3} orders/s  {'#' * count} {count}")
    for name, figure in report.figures.items():
        click.echo(f"{name:<32} {figure:g}")
