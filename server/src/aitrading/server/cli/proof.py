"""Asking the person at the keyboard to prove anew who they are, where the server wants that."""

import os
from typing import Any, Final

import click
import msgspec

from aitrading.server.cli.web import Web

AUTH: Final = "/api/v1/auth"
CODE_VARIABLE: Final = "AITRADING_CODE"
PASSWORD_VARIABLE: Final = "AITRADING_PASSWORD"  # noqa: S105 - the name of a variable
CODE_PROMPT: Final = "Code of your app, or a recovery code"


class Factors(msgspec.Struct, kw_only=True):
    """What a person has besides the password."""

    totp_since: str | None = None
    recovery_codes_left: int = 0
    step_up_with: str


def ask_for_code() -> str:
    """The code of the second factor: of the environment, or typed."""
    given = os.environ.get(CODE_VARIABLE)
    return given or str(click.prompt(CODE_PROMPT, err=True))


def prove_anew(web: Web) -> None:
    """Ask for what the person has, and send it; raises what the server answers."""
    click.echo("This needs a fresh proof of who you are.", err=True)
    proof: dict[str, Any]
    if web.get(f"{AUTH}/factors", Factors).step_up_with == "code":
        proof = {"code": ask_for_code()}
    else:
        given = os.environ.get(PASSWORD_VARIABLE)
        proof = {"password": given or click.prompt("Password", hide_input=True, err=True)}
    web.post(f"{AUTH}/step-up", proof, msgspec.Raw)
