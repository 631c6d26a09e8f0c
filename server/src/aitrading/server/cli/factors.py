"""`aitrading factors`: a person's own second factors."""

import sys
from typing import Final

import click
import msgspec
import segno

from aitrading.server.cli.errors import LOGIN_NEEDED
from aitrading.server.cli.output import json_option, show_json
from aitrading.server.cli.proof import AUTH, Factors
from aitrading.server.cli.session import SessionFile
from aitrading.server.cli.web import Web

FACTORS: Final = f"{AUTH}/factors"


class TotpSetUp(msgspec.Struct, kw_only=True):
    """For an authenticator app, told once."""

    secret: str
    uri: str


class RecoveryCodes(msgspec.Struct, kw_only=True):
    """Codes that are told once."""

    recovery_codes: list[str]


@click.group()
def factors() -> None:
    """Your second factors: an authenticator app, security keys, recovery codes.

    Security keys are added, used and removed in the browser.
    """


@factors.command("show")
@json_option
def show(*, as_json: bool) -> None:
    """Tell what you have besides the password."""
    found = _web().get(FACTORS, Factors)
    if as_json:
        show_json(found)
        return
    click.echo(f"authenticator app: {f'since {found.totp_since}' if found.totp_since else 'none'}")
    for key in found.security_keys:
        click.echo(f"security key: {key.name}, for {key.host}, since {key.added_at}")
    click.echo(f"recovery codes left: {found.recovery_codes_left}")


@factors.command("setup")
@json_option
def setup(*, as_json: bool) -> None:
    """Set up an authenticator app: scan the code, then type what the app shows.

    From then on a login needs the app. The recovery codes that are printed are the way in when
    the app is lost: keep them on paper.
    """
    web = _web()
    begun = web.post(f"{FACTORS}/totp", {}, TotpSetUp)
    segno.make(begun.uri, error="l", micro=False).terminal(out=sys.stderr, compact=True)
    click.echo(f"Scan this, or type the secret into your app: {begun.secret}", err=True)
    code = click.prompt("Code that the app shows now", err=True)
    made = web.post(f"{FACTORS}/totp/confirm", {"code": code}, RecoveryCodes)
    _tell(made, as_json=as_json)


@factors.command("remove")
@json_option
def remove(*, as_json: bool) -> None:
    """Remove the authenticator app; with the last factor go the recovery codes."""
    _web().delete(f"{FACTORS}/totp", msgspec.Raw)
    if as_json:
        show_json({"authenticator_app": None})
    else:
        click.echo("Removed. Without a security key your password alone logs in now.", err=True)


@factors.command("recovery-codes")
@json_option
def recovery_codes(*, as_json: bool) -> None:
    """Print ten new recovery codes; all old ones are worthless from now on."""
    _tell(_web().post(f"{FACTORS}/recovery-codes", {}, RecoveryCodes), as_json=as_json)


def _tell(made: RecoveryCodes, *, as_json: bool) -> None:
    if as_json:
        show_json(made)
        return
    for code in made.recovery_codes:
        click.echo(code)
    click.echo("Each code works once. They are not shown again.", err=True)


def _web() -> Web:
    web = SessionFile().web()
    if web is None:
        raise LOGIN_NEEDED.error()
    return web
