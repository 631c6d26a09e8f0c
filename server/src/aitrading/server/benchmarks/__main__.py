"""`make bench`: every benchmark, a table, and `benchmarks/results/latest.json`."""

import sys
from pathlib import Path

import click
import msgspec

from aitrading.server.benchmarks.report import (
    BENCHMARKS,
    Baseline,
    Result,
    compare,
    run_benchmark,
    table,
    write_results,
)

FOLDER = Path("benchmarks")


@click.command()
@click.option("--long", is_flag=True, help="Measure longer than a minute per benchmark.")
@click.option("--compare", "against_baseline", is_flag=True, help="Fail on a worse ratio.")
def main(*, long: bool, against_baseline: bool) -> None:
    """Run every benchmark."""
    results: list[Result] = []
    for name in BENCHMARKS:
        click.echo(f"bench {name} …", err=True)
        results.append(run_benchmark(name, long=long))
    click.echo(table(results))
    click.echo(f"written to {write_results(FOLDER / 'results', results)}", err=True)
    if against_baseline:
        baseline = msgspec.json.decode((FOLDER / "baseline.json").read_bytes(), type=Baseline)
        found = compare(results, baseline)
        for sentence in found.skipped:
            click.echo(f"skipped: {sentence}", err=True)
        for sentence in found.worse:
            click.echo(f"worse than the baseline: {sentence}", err=True)
        sys.exit(bool(found.worse))


if __name__ == "__main__":
    main()
