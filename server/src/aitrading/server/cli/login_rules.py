"""`aitrading login-rules`: from where, and with what, the people of your organisation log in."""

from typing import Final

import click
import msgspec

from aitrading.server.cli.errors import LOGIN_NEEDED
from aitrading.server.cli.output import json_option, show_json
from aitrading.server.cli.proof import AUTH
from aitrading.server.cli.session import SessionFile
from aitrading.server.cli.web import Web

RULES: Final = f"{AUTH}/rules"


class LoginRules(msgspec.Struct, kw_only=True):
    """The rules of an organisation."""

    networks: list[str]
    second_factor: str
    admit_you: bool


@click.group("login-rules")
def login_rules() -> None:
    """From which networks your organisation logs in, and who needs a second factor."""


@login_rules.command("show")
@json_option
def show(*, as_json: bool) -> None:
    """Show the rules of your organisation."""
    _tell(_web().get(RULES, LoginRules), as_json=as_json)


@login_rules.command("set")
@click.option("--network", "networks", multiple=True, help="A CIDR; give it once for each.")
@click.option("--everywhere", is_flag=True, help="From every network.")
@click.option(
    "--second-factor", type=click.Choice(("all", "admins", "nobody")), help="Who needs one."
)
@click.option(
    "--even-without-me", is_flag=True, help="Although your own network is not among them."
)
@json_option
def set_rules(
    *,
    networks: tuple[str, ...],
    everywhere: bool,
    second_factor: str | None,
    even_without_me: bool,
    as_json: bool,
) -> None:
    """Change the rules; what is not given stays as it is."""
    if everywhere and networks:
        raise click.UsageError("Give either --network or --everywhere.")
    web = _web()
    known = web.get(RULES, LoginRules)
    wanted = {
        "networks": list(networks) if networks or everywhere else known.networks,
        "second_factor": second_factor or known.second_factor,
        "even_without_me": even_without_me,
    }
    _tell(web.put(RULES, wanted, LoginRules), as_json=as_json)


def _tell(rules: LoginRules, *, as_json: bool) -> None:
    if as_json:
        show_json(rules)
        return
    click.echo(f"networks: {', '.join(rules.networks) or 'everywhere'}")
    click.echo(f"second factor: {rules.second_factor}")
    if not rules.admit_you:
        click.echo("You are outside: your session is not renewed from here.", err=True)


def _web() -> Web:
    web = SessionFile().web()
    if web is None:
        raise LOGIN_NEEDED.error()
    return web
