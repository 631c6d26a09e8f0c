"""`aitrading login`, `logout`, `token`: be somebody."""

from pathlib import Path
from typing import Final

import click
import msgspec

from aitrading.core.security.crypto import SigningKey
from aitrading.server.cli.errors import CA_NOT_MADE
from aitrading.server.cli.home_option import home_option
from aitrading.server.cli.host import Host
from aitrading.server.cli.output import json_option, show_json
from aitrading.server.cli.proof import AUTH, ask_for_code
from aitrading.server.cli.session import SessionFile, Tokens
from aitrading.server.cli.web import Web
from aitrading.server.supervisor.home import Home


class FullToken(msgspec.Struct, kw_only=True):
    """A token for a script."""

    token: str
    expires_at: str
    refresh_token: str


class Challenge(msgspec.Struct, kw_only=True):
    """What a login with a second factor waits for."""

    challenge: str
    has_key: bool = False


class LoginAnswer(msgspec.Struct, kw_only=True):
    """Tokens, or the challenge of a second factor."""

    access_token: str | None = None
    refresh_token: str | None = None
    token_type: str = "Bearer"  # noqa: S105 - a word of RFC 6750
    second_factor_missing: bool = False
    second_factor: Challenge | None = None

    def tokens(self) -> Tokens | None:
        """The tokens, if the first proof was enough."""
        if self.access_token is None or self.refresh_token is None:
            return None
        return Tokens(
            access_token=self.access_token,
            refresh_token=self.refresh_token,
            token_type=self.token_type,
        )


def second_step(web: Web, answer: LoginAnswer) -> Tokens:
    """Ask for the code of the app, or a recovery code, and finish the login."""
    waiting = answer.second_factor or Challenge(challenge="")
    code = ask_for_code(has_key=waiting.has_key)
    wanted = {"challenge": waiting.challenge, "code": code, "deliver": "token"}
    return web.post(f"{AUTH}/second", wanted, Tokens)


_MISSING: Final = (
    "Your organisation asks for a second factor: run `aitrading factors setup`, then log in again. "
    "Until then nothing else is open to you."
)


@click.command()
@click.option("--server", default="https://localhost:8000", show_default=True, help="Where.")
@click.option("--ca", type=click.Path(path_type=Path), help="The authority's certificate (PEM).")
@click.option("--tenant", prompt="Organisation", help="The organisation.")
@click.option("--user", prompt="User", help="The user name.")
@click.option(
    "--password",
    prompt="Password",
    hide_input=True,
    envvar="AITRADING_PASSWORD",
    help="Asked for when it is not given (AITRADING_PASSWORD).",
)
@json_option
@home_option
def login(
    *,
    server: str,
    ca: Path | None,
    tenant: str,
    user: str,
    password: str,
    as_json: bool,
    home: Path,
) -> None:
    """Log in; later commands act as this person until `logout`.

    The login is bound to a key that is made here and stays in the session file: a token alone,
    copied from wherever, opens nothing. Who has a second factor is asked for its code, or gives
    it in AITRADING_CODE.
    """
    authority = ca or Home(home).trust / "edge-ca.pem"
    if not authority.is_file():
        raise CA_NOT_MADE.error(home=str(authority.parent.parent))
    wanted = {"tenant": tenant, "username": user, "password": password, "deliver": "token"}
    key = SigningKey.generate()
    web = Web(server, authority, key=key)
    answer = web.post(f"{AUTH}/login", wanted, LoginAnswer)
    tokens = answer.tokens() or second_step(web, answer)
    file = SessionFile()
    file.save(server, authority, tokens, key)
    if as_json:
        show_json({"logged_in": True, "tenant": tenant, "user": user})
    else:
        click.echo(f"Logged in as {tenant}/{user}. Stored in {file.path}.", err=True)
    if answer.second_factor_missing:
        click.echo(_MISSING, err=True)


@click.command()
@json_option
def logout(*, as_json: bool) -> None:
    """End the stored login, here and on the server."""
    file = SessionFile()
    try:
        web = file.web()
        if web is not None:
            web.post(f"{AUTH}/logout", {}, msgspec.Raw)
    finally:
        file.forget()
    if as_json:
        show_json({"logged_in": False})
    else:
        click.echo("Logged out.", err=True)


@click.command()
@click.option("--for", "person", required=True, metavar="TENANT/USER", help="Whose token.")
@json_option
@home_option
def token(*, person: str, as_json: bool, home: Path) -> None:
    """Print an access token of a person, for scripts on this host; it lives 15 minutes."""
    host = Host(home)
    given = host.post("tokens", host.person(person), FullToken)
    if as_json:
        show_json(given)
    else:
        click.echo(given.token)
        click.echo(f"valid until {given.expires_at}", err=True)
