"""`aitrading orders|kill`: what can be said about trading, truthfully."""

from pathlib import Path
from typing import Any

import click
import msgspec

from aitrading.server.cli.host import Host
from aitrading.server.cli.output import json_option, show_json, state_style
from aitrading.server.cli.session import person_option, web_for

ORDERS = "/api/v1/orders"
KILL = "/api/v1/kill"
ENGINE = "trading-engine"


class HaltReason(msgspec.Struct):
    """One reason why trading is halted."""

    name: str
    detail: str


class Orders(msgspec.Struct):
    """The orders there are, and why there are none."""

    trading: str
    reasons: list[HaltReason] = []
    items: list[Any] = []


class Kill(msgspec.Struct):
    """The kill switch of an organisation."""

    engaged: bool
    engaged_by: str | None = None
    engaged_at: str | None = None


@click.group()
def orders() -> None:
    """Orders of an organisation."""


@orders.command("list")
@json_option
@person_option
def list_orders(*, as_json: bool, person: str | None, home: Path) -> None:
    """List orders; says why there are none while trading is halted."""
    found = web_for(home, person).get(ORDERS, Orders)
    if as_json:
        show_json(found)
        return
    click.echo(f"trading {state_style(found.trading)}  {len(found.items)} orders")
    for reason in found.reasons:
        click.echo(f"  {reason.name}: {reason.detail}", err=True)


@orders.command("place")
@click.argument("symbol")
@click.argument("side", type=click.Choice(("buy", "sell")))
@click.argument("volume")
@click.option("--account", help="The broker account, by its id.")
@json_option
@person_option
def place(*, as_json: bool, person: str | None, home: Path, **order: Any) -> None:
    """Place an order; refused with TRADING_NOT_AVAILABLE while trading is halted."""
    answer = web_for(home, person).post(ORDERS, order, msgspec.Raw)
    if as_json:
        show_json(answer)
    else:
        click.echo("The order was accepted.", err=True)


@click.group(invoke_without_command=True)
@click.option("--tenant", help="On the host: any organisation, by name, suspended ones too.")
@json_option
@person_option
@click.pass_context
def kill(
    ctx: click.Context, *, tenant: str | None, as_json: bool, person: str | None, home: Path
) -> None:
    """Engage the kill switch of an organisation; it holds across restarts."""
    if ctx.invoked_subcommand is not None:
        return
    if tenant is None:
        engaged = web_for(home, person).post(KILL, {}, Kill)
    else:
        host = Host(home)
        body = {"tenant": str(host.tenant_id(tenant))}
        engaged = host.post("kill", body, Kill, peer=ENGINE)
    _show(engaged, as_json=as_json)


@kill.command("status")
@json_option
@person_option
def kill_status(*, as_json: bool, person: str | None, home: Path) -> None:
    """Tell whether the kill switch is engaged."""
    _show(web_for(home, person).get(KILL, Kill), as_json=as_json)


@kill.command("release")
@json_option
@person_option
def kill_release(*, as_json: bool, person: str | None, home: Path) -> None:
    """Release the kill switch; refused, because it needs a second person and a step-up."""
    _show(web_for(home, person).delete(KILL, Kill), as_json=as_json)


def _show(state: Kill, *, as_json: bool) -> None:
    if as_json:
        show_json(state)
    elif state.engaged:
        click.echo(f"kill switch ENGAGED by {state.engaged_by} at {state.engaged_at}")
    else:
        click.echo("kill switch not engaged")
