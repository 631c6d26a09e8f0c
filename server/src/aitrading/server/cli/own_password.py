"""`aitrading password`: a person changes the own one."""

import os
from typing import Final

import click
import msgspec

from aitrading.server.cli.errors import LOGIN_NEEDED
from aitrading.server.cli.output import json_option, show_json
from aitrading.server.cli.proof import AUTH, PASSWORD_VARIABLE
from aitrading.server.cli.session import SessionFile

NEW_VARIABLE: Final = "AITRADING_NEW_PASSWORD"


class PasswordChanged(msgspec.Struct, kw_only=True):
    """What ended with the old password."""

    sessions_ended: int


@click.command("password")
@json_option
def password(*, as_json: bool) -> None:
    """Change your password; every other login of yours ends.

    Asks for the old and the new one, or takes them from AITRADING_PASSWORD and
    AITRADING_NEW_PASSWORD.
    """
    file = SessionFile()
    web = file.web()
    if web is None:
        raise LOGIN_NEEDED.error()
    old = os.environ.get(PASSWORD_VARIABLE)
    old = old or click.prompt("Old password", hide_input=True, err=True)
    new = os.environ.get(NEW_VARIABLE) or click.prompt(
        "New password", hide_input=True, confirmation_prompt="The new one again", err=True
    )
    wanted = {"old_password": old, "new_password": new}
    changed = web.post(f"{AUTH}/password", wanted, PasswordChanged)
    file.renew()
    if as_json:
        show_json(changed)
    else:
        click.echo(f"Changed. Other logins that ended: {changed.sessions_ended}.", err=True)
