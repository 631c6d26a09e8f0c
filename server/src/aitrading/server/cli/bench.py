"""`aitrading bench`: one benchmark."""

import click

from aitrading.server.benchmarks.report import BENCHMARKS, run_benchmark, table
from aitrading.server.cli.errors import BENCH_NOT_KNOWN
from aitrading.server.cli.output import json_option, show_json


@click.command()
@click.argument("name")
@click.option("--long", is_flag=True, help="Measure longer than a minute.")
@json_option
def bench(*, name: str, long: bool, as_json: bool) -> None:
    """Run benchmark NAME and print its figures."""
    if name not in BENCHMARKS:
        raise BENCH_NOT_KNOWN.error(wanted=name, known=", ".join(BENCHMARKS))
    result = run_benchmark(name, long=long)
    if as_json:
        show_json(result)
    else:
        click.echo(table([result]))
