"""Whom a command acts for: a person named on the host, or the one who logged in."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from aitrading.core.infrastructure.files import write_atomically
from aitrading.core.kit.clock import NS_PER_S, Clock, SystemClock
from aitrading.core.kit.secret import Secret
from aitrading.core.security.claims import USER_TOKEN_LIFETIME_S
from aitrading.core.security.crypto import SigningKey
from aitrading.server.cli.errors import LOGIN_NEEDED, SESSION_FILE_DAMAGED
from aitrading.server.cli.home_option import home_option
from aitrading.server.cli.host import Host
from aitrading.server.cli.proof import AUTH, prove_anew
from aitrading.server.cli.web import Web
from aitrading.server.supervisor.admin_client import AdminClient
from aitrading.server.supervisor.home import Home
from aitrading.server.supervisor.state import PlatformState

RENEW_BEFORE_END_S: Final = 60
RENEW_AFTER_S: Final = USER_TOKEN_LIFETIME_S - RENEW_BEFORE_END_S
TOKEN_VARIABLE: Final = "AITRADING_TOKEN"  # noqa: S105 - the name of a variable
BOUND: Final = "DPoP"


class GivenToken(msgspec.Struct):
    """What the administrator of the host gets for a person."""

    token: str


class Tokens(msgspec.Struct, kw_only=True):
    """What a login gives a program."""

    access_token: str
    refresh_token: str
    expires_at: str = ""
    token_type: str = "Bearer"  # noqa: S105 - a word of RFC 6750
    """`DPoP` when the server bound them to the key that signed the login."""


class StoredSession(msgspec.Struct, frozen=True, kw_only=True):
    """A login on this machine; the file is readable by its owner only."""

    server: str
    ca: str
    access_token: str
    refresh_token: str
    renew_at_ns: int
    key: str = ""
    """The private key (PEM) that every request has to prove; empty in a file from before."""

    def signing_key(self) -> SigningKey | None:
        """The key, if the login was made with one."""
        return SigningKey.from_pem(Secret(self.key.encode())) if self.key else None


class SessionFile:
    """`~/.config/aitrading/session.json`, or below XDG_CONFIG_HOME."""

    def __init__(self, path: Path | None = None, clock: Clock | None = None) -> None:
        self.path = path or _default_path()
        self._clock = clock or SystemClock()

    def save(self, server: str, ca: Path, tokens: Tokens, key: SigningKey | None) -> None:
        """Keep a login and the key it is bound to."""
        session = StoredSession(
            server=server,
            ca=str(ca.absolute()),
            access_token=tokens.access_token,
            refresh_token=tokens.refresh_token,
            renew_at_ns=self._clock.now_ns() + RENEW_AFTER_S * NS_PER_S,
            key=key.pem().reveal().decode() if key and tokens.token_type == BOUND else "",
        )
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(self.path, msgspec.json.encode(session))

    def forget(self) -> None:
        """Delete the login; harmless without one."""
        self.path.unlink(missing_ok=True)

    def web(self) -> Web | None:
        """The logged-in way to the server, renewed if necessary; None without a login."""
        session = self._load()
        if session is None:
            return None
        rest_ns = session.renew_at_ns - self._clock.now_ns()
        if not 0 < rest_ns <= RENEW_AFTER_S * NS_PER_S:  # more than that: the clock was set back
            session = self._renewed(session)
        key = session.signing_key()
        web = Web(session.server, Path(session.ca), session.access_token, key=key)
        web.prove = self._proved
        web.renew = self.renew
        return web

    def renew(self) -> str:
        """A new token of the same session, whatever the age of the old one."""
        session = self._load()
        if session is None:
            raise LOGIN_NEEDED.error()
        return self._renewed(session).access_token

    def _proved(self, web: Web) -> str:
        """A token of the same session with a fresh proof of the person."""
        prove_anew(web)
        return self.renew()

    def _renewed(self, session: StoredSession) -> StoredSession:
        key = session.signing_key()
        web = Web(session.server, Path(session.ca), key=key)
        wanted = {"refresh_token": session.refresh_token}
        tokens = web.post(f"{AUTH}/refresh", wanted, Tokens, again=True)
        self.save(session.server, Path(session.ca), tokens, key)
        return self._load() or session

    def _load(self) -> StoredSession | None:
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=StoredSession)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as exc:
            raise SESSION_FILE_DAMAGED.error(path=str(self.path)) from exc


def person_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--for`; the command gets `person` and `home`."""
    option = click.option(
        "--for", "person", metavar="TENANT/USER", help="Act for this person (on the host)."
    )
    return option(home_option(command))


def web_for(home: Path, person: str | None) -> Web:
    """The way to the API as a person; raises LOGIN_NEEDED when nobody is named or logged in."""
    if person is not None:
        host = Host(home)
        given = host.post("tokens", host.person(person), GivenToken)
        return local_web(home, given.token)
    if token := os.environ.get(TOKEN_VARIABLE):
        return local_web(home, token)
    web = SessionFile().web()
    if web is None:
        raise LOGIN_NEEDED.error()
    return web


def local_web(home: Path, token: str | None) -> Web:
    """The way to the platform that runs here."""
    place = Home(home)
    state = AdminClient(place).request("status", PlatformState)
    return Web(state.url or "", place.trust / "edge-ca.pem", token)


def _default_path() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME")
    folder = Path(base) if base else Path.home() / ".config"
    return folder / "aitrading" / "session.json"
