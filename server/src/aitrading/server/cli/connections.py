"""`aitrading connections`: who is connected, and ending a connection."""

from datetime import datetime
from pathlib import Path
from uuid import UUID

import click
import msgspec

from aitrading.server.cli.administration import tenant_option
from aitrading.server.cli.home_option import home_option
from aitrading.server.cli.host import Host
from aitrading.server.cli.output import json_option, show_json, show_table


class Connection(msgspec.Struct, kw_only=True):
    """One open link or stream."""

    id: UUID
    kind: str
    name: str
    since: datetime
    round_trip_ms: float | None = None
    feeds: int = 0
    unconfirmed: int = 0


class Connections(msgspec.Struct, kw_only=True):
    """Those of an organisation."""

    items: list[Connection] = []


@click.group()
def connections() -> None:
    """Who is connected: links of devices, streams of people."""


@connections.command("list")
@tenant_option
@json_option
@home_option
def list_connections(*, tenant: str, as_json: bool, home: Path) -> None:
    """List the open connections of an organisation, oldest first."""
    found = Host(home).get("connections", Connections, tenant=tenant).items
    if as_json:
        show_json(found)
        return
    rows = [
        (
            one.kind, one.name, f"{one.since:%Y-%m-%d %H:%M:%S}Z",
            "" if one.round_trip_ms is None else f"{one.round_trip_ms:.1f} ms",
            one.feeds or "", one.unconfirmed, one.id,
        )
        for one in found
    ]  # fmt: skip
    show_table(("kind", "who", "since", "round trip", "feeds", "unconfirmed", "id"), rows)


@connections.command("end")
@click.argument("connection", type=UUID)
@tenant_option
@json_option
@home_option
def end(*, connection: UUID, tenant: str, as_json: bool, home: Path) -> None:
    """End one connection; whoever may connect comes back.

    `aitrading device revoke` keeps a device out, `aitrading user suspend` a person.
    """
    wanted = {"tenant": tenant, "connection": str(connection)}
    Host(home).post("connections/end", wanted, msgspec.Raw)
    if as_json:
        show_json({"connection": connection, "state": "ended"})
    else:
        click.echo(f"{connection} is ended.", err=True)
