"""`aitrading chains`: the ways data takes, with latency and health of every hop."""

from pathlib import Path

import click

from aitrading.server.cli.home_option import home_option
from aitrading.server.cli.host import Host
from aitrading.server.cli.output import json_option, show_json, show_table, state_style
from aitrading.server.dashboard.report import ChainLine, PlatformReport


@click.group(invoke_without_command=True)
@json_option
@home_option
@click.pass_context
def chains(ctx: click.Context, *, as_json: bool, home: Path) -> None:
    """List every chain with its state."""
    if ctx.invoked_subcommand is not None:
        return
    found = Host(home).get("platform", PlatformReport).chains
    if as_json:
        show_json(found)
    else:
        rows = [(chain.name, chain.state, len(chain.hops), chain.description) for chain in found]
        show_table(("chain", "state", "hops", "what"), rows)


@chains.command()
@click.argument("name")
@json_option
@home_option
@click.pass_context
def show(ctx: click.Context, *, name: str, as_json: bool, home: Path) -> None:
    """Show latency and health of each hop of NAME in the last minute; exit code 1 if it is ill."""
    chain = Host(home).get(f"chains/{name}", ChainLine)
    if as_json:
        show_json(chain)
    else:
        _table(chain)
    ctx.exit(0 if chain.state == "HEALTHY" else 1)


def _table(chain: ChainLine) -> None:
    click.echo(f"{chain.name}  {state_style(chain.state)}  {chain.description}\n")
    rows = [
        (
            hop.name,
            hop.service,
            hop.state,
            hop.count,
            hop.failed,
            "" if hop.p50_ms is None else f"{hop.p50_ms:.2f}",
            "" if hop.p99_ms is None else f"{hop.p99_ms:.2f}",
            (hop.last_seen or "")[11:23],
            hop.reason,
        )
        for hop in chain.hops
    ]
    headings = ("hop", "service", "state", "passed", "failed", "p50 ms", "p99 ms", "seen", "note")
    show_table(headings, rows)
    if followed := [hop.last_trace_id for hop in chain.hops if hop.last_trace_id]:
        click.echo(f"\nThe way of a batch: aitrading trace {followed[-1]}")
