"""`aitrading chains`: the ways data takes, with latency and health of every hop."""

from pathlib import Path
from typing import Any, BinaryIO, Final
from urllib.parse import quote, unquote

import click
import msgspec

from aitrading.core.infrastructure.chain_registry import ChainDefinition
from aitrading.core.kit.errors import AitradingError
from aitrading.server.cli.errors import CHAIN_FILE_REFUSED
from aitrading.server.cli.home_option import home_option
from aitrading.server.cli.host import Host
from aitrading.server.cli.output import json_option, show_json, show_table, state_style
from aitrading.server.dashboard.report import ChainLine, PlatformReport

DATABASE: Final = "database-service"
CHAIN_FILE_BYTES_MAX: Final = 64 * 1024


class LostHopView(msgspec.Struct, kw_only=True):
    """A hop that is lost, and the way the failure takes to it."""

    chain: str
    hop: str
    distance: int
    way: list[str]


class ImpactView(msgspec.Struct, kw_only=True):
    """What breaks with a part."""

    part: str
    chains: list[str]
    lost: list[LostHopView]


class NarrowView(msgspec.Struct, kw_only=True):
    """A part and how many hops fail with it."""

    part: str
    hops_lost: int


class NarrowViews(msgspec.Struct, kw_only=True):
    """The widest loss first."""

    items: list[NarrowView]


class StoredChain(msgspec.Struct, kw_only=True):
    """A chain as the graph keeps it."""

    origin: str
    definition: ChainDefinition


class Stored(msgspec.Struct, kw_only=True):
    """Every chain that is kept."""

    items: list[StoredChain]


class CustomChain(msgspec.Struct, kw_only=True):
    """A chain of this installation: it answers questions of impact, nothing measures it."""

    name: str
    description: str
    hops: list[str]
    state: str = "custom, not measured"


@click.group(invoke_without_command=True)
@json_option
@home_option
@click.pass_context
def chains(ctx: click.Context, *, as_json: bool, home: Path) -> None:
    """List every chain with its state; custom ones are not measured."""
    if ctx.invoked_subcommand is not None:
        return
    host = Host(home)
    found = [*host.get("platform", PlatformReport).chains, *_custom(host)]
    if as_json:
        show_json(found)
    else:
        rows = [(chain.name, chain.state, len(chain.hops), chain.description) for chain in found]
        show_table(("chain", "state", "hops", "what"), rows)


def _custom(host: Host) -> list[CustomChain]:
    """The graph's store may be away while the measurements are not."""
    try:
        stored = host.get("chain-graph/chains", Stored, peer=DATABASE).items
    except AitradingError as exc:
        click.echo(f"Custom chains are not listed: {exc.message}", err=True)
        return []
    return [
        CustomChain(
            name=chain.definition.name,
            description=chain.definition.description,
            hops=[hop.name for hop in chain.definition.hops],
        )
        for chain in stored
        if chain.origin == "custom"
    ]


def _chain_name(_: click.Context, __: click.Parameter, name: str) -> str:
    """As part of an address: one name, whatever is in it."""
    if not name.strip():
        raise click.BadParameter("it is empty; `aitrading chains` lists the names")
    return quote(name, safe="")


@chains.command()
@click.argument("name", callback=_chain_name)
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
        _bottlenecks(chain, _narrow(name, home))
    ctx.exit(0 if chain.state == "HEALTHY" else 1)


@chains.command()
@click.argument("file", type=click.File("rb"))
@json_option
@home_option
def define(*, file: BinaryIO, as_json: bool, home: Path) -> None:
    """Add the custom chain that the JSON in FILE describes, or replace it; `-` reads stdin.

    `{"name": "orders", "description": "", "hops": [{"name": "a", "service": "data-bridge",
    "kind": "call"}]}`; a hop may have `budget_ms`, `optional`, `needs` and `after` too.
    """
    path = "chain-graph/chains"
    kept = Host(home).post(path, _described(file), StoredChain, peer=DATABASE)
    if as_json:
        show_json(kept)
    else:
        click.echo(f"{kept.definition.name} is kept.", err=True)


def _described(file: BinaryIO) -> dict[str, Any]:
    """What the file says, sent as it is: the platform judges names and hops."""
    text = file.read(CHAIN_FILE_BYTES_MAX + 1)
    if len(text) > CHAIN_FILE_BYTES_MAX:
        raise CHAIN_FILE_REFUSED.error(
            file=file.name, reason=f"it has more than {CHAIN_FILE_BYTES_MAX} bytes"
        )
    try:
        msgspec.json.decode(text, type=ChainDefinition)
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise CHAIN_FILE_REFUSED.error(file=file.name, reason=str(exc)) from exc


@chains.command()
@click.argument("name", callback=_chain_name)
@json_option
@home_option
def remove(*, name: str, as_json: bool, home: Path) -> None:
    """Take the custom chain NAME away; chains of the release itself stay."""
    Host(home).send("DELETE", f"chain-graph/chains/{name}", msgspec.Raw, peer=DATABASE)
    if as_json:
        show_json({"chain": unquote(name), "removed": True})
    else:
        click.echo(f"{unquote(name)} is removed.", err=True)


@chains.command()
@click.argument("service")
@json_option
@home_option
def impact(*, service: str, as_json: bool, home: Path) -> None:
    """Tell what breaks when SERVICE, an engine, or a hop named CHAIN/HOP fails."""
    found = Host(home).get("chain-graph/impact", ImpactView, peer=DATABASE, of=service)
    if as_json:
        show_json(found)
        return
    rows = [
        (hop.chain, hop.hop, "broken" if hop.distance == 1 else "starved", _way(hop.way))
        for hop in found.lost
    ]
    show_table(("chain", "hop", "", "over"), rows)


def _way(nodes: list[str]) -> str:
    return " > ".join(node.partition("/")[2] for node in nodes)


def _narrow(chain: str, home: Path) -> list[NarrowView]:
    """The graph's store may be away while the measurements are not."""
    try:
        path = f"chain-graph/bottlenecks/{chain}"
        return Host(home).get(path, NarrowViews, peer=DATABASE).items
    except AitradingError as exc:
        click.echo(f"The graph of the chains does not answer: {exc.message}", err=True)
        return []


def _bottlenecks(chain: ChainLine, narrow: list[NarrowView]) -> None:
    slow = max(chain.hops, key=lambda hop: hop.p99_ms or 0.0)
    if slow.p99_ms:
        click.echo(f"\nSlowest hop: {slow.name} ({slow.p99_ms:.2f} ms at p99).")
    most = [f"{part.part} ({part.hops_lost} of {len(chain.hops)})" for part in narrow[:3]]
    if most:
        click.echo(f"Takes most hops with it when it fails: {', '.join(most)}.")


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
