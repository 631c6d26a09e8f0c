"""`aitrading sessions`: where a person is logged in."""

from datetime import datetime
from typing import Final
from uuid import UUID

import click
import msgspec

from aitrading.server.cli.errors import LOGIN_NEEDED
from aitrading.server.cli.output import json_option, show_json, show_table
from aitrading.server.cli.proof import AUTH
from aitrading.server.cli.session import SessionFile
from aitrading.server.cli.web import Web

SESSIONS: Final = f"{AUTH}/sessions"


class OwnSession(msgspec.Struct, kw_only=True):
    """One login that lives."""

    id: UUID
    current: bool
    authentication: str
    began_at: datetime
    used_at: datetime | None = None
    network: str | None = None


class OwnSessions(msgspec.Struct, kw_only=True):
    """All of one person."""

    items: list[OwnSession]


class SessionsEnded(msgspec.Struct, kw_only=True):
    """How many sessions ended."""

    sessions_ended: int


@click.group()
def sessions() -> None:
    """Where you are logged in; end what should not be there."""


@sessions.command("list")
@json_option
def list_sessions(*, as_json: bool) -> None:
    """List your logins that live, the newest first.

    `last renewed` is behind by up to a quarter of an hour: so long a token lives.
    """
    found = _web().get(SESSIONS, OwnSessions).items
    if as_json:
        show_json(found)
        return
    rows = [
        (
            one.id, one.authentication, _moment(one.began_at), _moment(one.used_at),
            one.network or "", "this one" if one.current else "",
        )
        for one in found
    ]  # fmt: skip
    show_table(("id", "by", "since", "last renewed", "network", ""), rows)


@sessions.command("end")
@click.argument("session", type=UUID, required=False)
@click.option("--others", is_flag=True, help="End all but the login of this machine.")
@json_option
def end(*, session: UUID | None, others: bool, as_json: bool) -> None:
    """End one of your logins, or all the others; their tokens are refused at once."""
    if (session is None) is not others:
        raise click.UsageError("Give the id of a session, or --others.")
    if session is None:
        ended = _web().delete(SESSIONS, SessionsEnded)
    else:
        _web().delete(f"{SESSIONS}/{session}", msgspec.Raw)
        ended = SessionsEnded(sessions_ended=1)
    if as_json:
        show_json(ended)
    else:
        click.echo(f"Logins that ended: {ended.sessions_ended}.", err=True)


def _moment(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}Z"


def _web() -> Web:
    web = SessionFile().web()
    if web is None:
        raise LOGIN_NEEDED.error()
    return web
