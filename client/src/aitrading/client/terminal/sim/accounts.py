"""The accounts of the simulated broker, and which of them the terminal is logged in to.

Without a list there is one account, which everybody opens under any number. With a list each log-in
is held against it: number, password and server have to be those of one account. A terminal that was
refused has no account until another log-in succeeds; the package's description does not say what a
real one keeps, so nothing of the account before can be read or traded by mistake.
"""

import hmac
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from aitrading.client.terminal.api import errors
from aitrading.client.terminal.errors import SIMULATED_ACCOUNTS_INVALID
from aitrading.client.terminal.sim.arguments import CallRefusedError
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.secret import Secret

SIMULATED_SERVER: Final = "Simulated-Demo"
NAME: Final = "Simulated account"
ACCOUNTS_MAX: Final = 100
LOGIN_MAX: Final = (1 << 63) - 1
OTHERS: Final = 0o077
_Word = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


@dataclass(frozen=True, kw_only=True)
class BrokerAccount:
    """What opens an account, and what it is called."""

    login: int
    password: Secret[str]
    server: str = SIMULATED_SERVER
    name: str = NAME
    is_saved: bool = False
    """The terminal remembers the password, so that the number alone opens it."""

    def is_opened_by(self, login: int, server: str, password: str) -> bool:
        """Whether these are right."""
        if (login, server) != (self.login, self.server):
            return False
        if not password:
            return self.is_saved
        return hmac.compare_digest(_bytes(password), _bytes(self.password.reveal()))


@dataclass(frozen=True, kw_only=True)
class LoggedIn:
    """The account that the terminal shows; without a number, that of its trade server."""

    login: int = 0
    server: str = SIMULATED_SERVER
    name: str = NAME
    number: int = 0
    """Its place in the list."""


class Accounts:
    """Who is logged in: to the first of the list when the terminal is opened."""

    def __init__(self, known: Sequence[BrokerAccount]) -> None:
        self.current: LoggedIn | None = _shown(0, known[0]) if known else LoggedIn()
        self._known = tuple(known)
        self._last_server = known[0].server if known else SIMULATED_SERVER

    def log_in(self, wanted: Mapping[str, Any]) -> None:
        """Change to the named account, or stay; raises -6 for what opens none.

        Without a server, that of the last account is meant.
        """
        if "login" not in wanted:
            self.require()
        elif not self._known:
            self.current = LoggedIn(login=wanted["login"])
        else:
            self.current = self._opened(wanted)
            self._last_server = self.require().server

    def require(self) -> LoggedIn:
        """The account; raises -6 when there is none."""
        if self.current is None:
            raise CallRefusedError(errors.AUTH_FAILED)
        return self.current

    def _opened(self, wanted: Mapping[str, Any]) -> LoggedIn | None:
        server = wanted.get("server") or self._last_server
        password = wanted.get("password") or ""
        opened = (
            _shown(number, one)
            for number, one in enumerate(self._known)
            if one.is_opened_by(wanted["login"], server, password)
        )
        return next(opened, None)


class _Listed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    login: Annotated[int, msgspec.Meta(ge=1, le=LOGIN_MAX)]
    password: _Word
    server: _Word = SIMULATED_SERVER
    name: _Word = NAME
    saved: bool = False


class _List(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    account: Annotated[list[_Listed], msgspec.Meta(min_length=1, max_length=ACCOUNTS_MAX)]


def read_accounts(file: Path) -> tuple[BrokerAccount, ...]:
    """TOML with one `[[account]]` an account; raises `TERMINAL_SIMULATED_ACCOUNTS_INVALID`.

    Nothing that is said of the file quotes it: passwords are in it.
    """
    try:
        mode, content = file.stat().st_mode, file.read_bytes()
    except OSError as exc:
        raise _invalid(file, exc.strerror or "it cannot be read") from exc
    if sys.platform != "win32" and mode & OTHERS:
        raise _invalid(file, "others may read it (chmod 600)")
    try:
        listed = msgspec.toml.decode(content, type=_List).account
    except msgspec.ValidationError as exc:
        raise _invalid(file, str(exc)) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise _invalid(file, "it is no TOML") from None
    if len({(one.login, one.server) for one in listed}) < len(listed):
        raise _invalid(file, "one account is listed twice")
    return tuple(
        BrokerAccount(
            login=one.login,
            password=Secret(one.password),
            server=one.server,
            name=one.name,
            is_saved=one.saved,
        )
        for one in listed
    )


def _invalid(file: Path, problem: str) -> AitradingError:
    return SIMULATED_ACCOUNTS_INVALID.error(file=str(file), problem=problem)


def _bytes(text: str) -> bytes:
    """Of any text that a script may pass, also of one that UTF-8 does not have."""
    return text.encode("utf-8", "surrogatepass")


def _shown(number: int, account: BrokerAccount) -> LoggedIn:
    return LoggedIn(login=account.login, server=account.server, name=account.name, number=number)
