"""`aitrading service`: services of the operator's own beside the house's."""

from pathlib import Path

import click

from aitrading.server.cli.administration import show_answer
from aitrading.server.cli.home_option import home_option
from aitrading.server.cli.output import json_option, show_json
from aitrading.server.supervisor.admin_client import AdminClient
from aitrading.server.supervisor.guests import AdmittedService
from aitrading.server.supervisor.home import Home

_FIELDS = ("name", "port", "bundle", "socket")


@click.group()
def service() -> None:
    """Services of your own: admit, dismiss, list."""


@service.command()
@click.argument("name")
@click.option("--port", default=0, show_default=True, help="For peers; 0 takes a free one.")
@json_option
@home_option
def admit(*, name: str, port: int, as_json: bool, home: Path) -> None:
    """Give a service an identity, so that it can register and be reached through the edge.

    Start it with AITRADING_BUNDLE set to the path that is printed. It may answer, with a token, at
    `/api/v1/NAME` and below; the edge routes it as soon as it has registered.
    """
    client = AdminClient(Home(home))
    found = client.request("admit-service", AdmittedService, name=name, port=port)
    show_answer(found, as_json=as_json, fields=_FIELDS)


@service.command()
@click.argument("name")
@json_option
@home_option
def dismiss(*, name: str, as_json: bool, home: Path) -> None:
    """Take a service's identity away: it loses the bus at once, and its paths answer 503."""
    AdminClient(Home(home)).request("dismiss-service", type(None), name=name)
    if as_json:
        show_json({"name": name, "state": "dismissed"})
    else:
        click.echo(f"{name} is dismissed.", err=True)


@service.command("list")
@json_option
@home_option
def list_services(*, as_json: bool, home: Path) -> None:
    """List the services that were admitted."""
    found = AdminClient(Home(home)).request("list-services", list[AdmittedService])
    show_answer(found, as_json=as_json, fields=_FIELDS)
