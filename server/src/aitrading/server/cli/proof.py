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
KEYS_ELSEWHERE: Final = "Security keys work in the browser only: here a code is needed."


class SecurityKey(msgspec.Struct, kw_only=True):
    """A key, which only a browser can use."""

    name: str
    host: str
    added_at: str


class Factors(msgspec.Struct, kw_only=True):
    """What a person has besides the password."""

    totp_since: str | None = None
    recovery_codes_left: int = 0
    step_up_with: str
    security_keys: list[SecurityKey] = []


def ask_for_code(*, has_key: bool) -> str:
    """The code of the second factor: of the environment, or typed."""
    given = os.environ.get(CODE_VARIABLE)
    if given:
        return given
    if has_key:
        click.echo(KEYS_ELSEWHERE, err=True)
    return str(click.prompt(CODE_PROMPT, err=True))


def prove_anew(web: Web) -> None:
    """Ask for what the person has, and send it; raises what the server answers."""
    click.echo("This needs a fresh proof of who you are.", err=True)
    proof: dict[str, Any]
    found = web.get(f"{AUTH}/factors", Factors)
    if found.step_up_with == "code":
        proof = {"code": ask_for_code(has_key=bool(found.security_keys))}
    else:
        given = os.environ.get(PASSWORD_VARIABLE)
        proof = {"password": given or click.prompt("Password", hide_input=True, err=True)}
    web.post(f"{AUTH}/step-up", proof, msgspec.Raw)
