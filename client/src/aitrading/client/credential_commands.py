"""`aitrading-client credentials`: the broker login that the client hands to the terminal.

Nothing here prints a secret, and none is an argument: arguments are seen by everybody on a machine.
"""

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import click

from aitrading.client.command_line import home_option, json_option, show, told
from aitrading.client.security.credential_errors import CREDENTIALS_INVALID
from aitrading.client.security.credential_file import BrokerLogin
from aitrading.client.security.credential_manager import MAX_PASSWORD_CHARS, CredentialManager
from aitrading.client.security.device_calls import DeviceCalls
from aitrading.client.security.device_files import DeviceFiles
from aitrading.client.security.protection import ProtectionKind
from aitrading.client.security.protections import passphrase_in, protections
from aitrading.client.security.secret_buffer import SecretBuffer
from aitrading.core.kit.clock import NS_PER_MS, SystemClock, rfc3339_of_ns
from aitrading.core.kit.errors import AitradingError, Category
from aitrading.core.kit.secret import Secret

_passphrase = click.option(
    "--passphrase-file",
    default="",
    help="File with the passphrase of a login stored under one; otherwise it is asked for.",
)
_stdin = click.option(
    "--password-stdin", is_flag=True, help="Read the password from standard input."
)


@click.group()
def credentials() -> None:
    """The broker login, if the terminal does not own it.

    First choice: log in once in the terminal itself and store nothing here.
    """


@credentials.command("set")
@click.option(
    "--login", type=int, required=True, envvar="MT5_LOGIN", help="Number of the account."
)
@click.option(
    "--server-name",
    required=True,
    envvar="MT5_SERVER",
    help="The broker's server, as the terminal names it.",
)
@click.option(
    "--protect",
    type=click.Choice([str(kind) for kind in ProtectionKind]),
    required=True,
    help="What keeps the local half of the key; there is no default and no second choice.",
)
@_stdin
@_passphrase
@home_option
@json_option
@told
def set_credentials(
    *,
    login: int,
    server_name: str,
    protect: str,
    password_stdin: bool,
    passphrase_file: str,
    home: Path,
    as_json: bool,
) -> None:
    """Store a login; the password is asked for. Needs the server."""
    manager = _manager(home, passphrase_file, is_new=True)
    with _password(from_stdin=password_stdin) as password:
        stored = BrokerLogin(login=login, server=server_name, password=password)
        manager.store(stored, ProtectionKind(protect))
    _describe(manager, as_json=as_json)
    click.echo('Stored. Use it: terminal_login.owner = "store" in aitrading.toml', err=True)


@credentials.command("show")
@click.option("--open", "is_opened", is_flag=True, help="Open it, to see that it would work.")
@_passphrase
@home_option
@json_option
@told
def show_credentials(*, is_opened: bool, passphrase_file: str, home: Path, as_json: bool) -> None:
    """What is stored and how it is protected, never the password."""
    manager = _manager(home, passphrase_file)
    more: dict[str, Any] = {}
    if is_opened:
        opened = manager.open()
        with opened.password:
            more = {"login": opened.login, "broker_server": opened.server}
    _describe(manager, as_json=as_json, **more)


@credentials.command("rotate")
@click.option("--new-password", is_flag=True, help="The password changed at the broker.")
@_stdin
@_passphrase
@home_option
@json_option
@told
def rotate_credentials(
    *, new_password: bool, password_stdin: bool, passphrase_file: str, home: Path, as_json: bool
) -> None:
    """Seal the login anew under new keys; older copies of the file open for nobody any more."""
    manager = _manager(home, passphrase_file)
    if new_password or password_stdin:
        with _password(from_stdin=password_stdin) as password:
            manager.rotate(password)
    else:
        manager.rotate()
    _describe(manager, as_json=as_json)


@credentials.command("forget")
@home_option
@told
def forget_credentials(*, home: Path) -> None:
    """Destroy the stored login here, and the server's share of its key."""
    try:
        _manager(home, "").forget()
    except AitradingError as exc:
        if exc.spec.category is not Category.RETRYABLE:
            raise
        click.echo("The server keeps its share until it is reached; it opens nothing.", err=True)
    click.echo("Forgotten. The broker's password itself is unchanged.", err=True)


def _manager(home: Path, passphrase_file: str, *, is_new: bool = False) -> CredentialManager:
    home, clock = home.expanduser(), SystemClock()
    files = DeviceFiles(home)
    record = files.load()
    ask = passphrase_in(passphrase_file) if passphrase_file else _typed(is_new=is_new)
    calls = DeviceCalls(files, record, clock)
    return CredentialManager(home, record, calls, protection=protections(ask), clock=clock)


def _typed(*, is_new: bool) -> Callable[[], Secret[str]]:
    @cache
    def ask() -> Secret[str]:
        text: str = click.prompt(
            "Passphrase", hide_input=True, confirmation_prompt=is_new, err=True
        )
        return Secret(text)

    return ask


def _password(*, from_stdin: bool) -> SecretBuffer:
    if from_stdin:
        data = bytearray(sys.stdin.buffer.readline(4 * MAX_PASSWORD_CHARS + 2))
        while data and data[-1] in b"\r\n":
            del data[-1]
    else:
        data = bytearray(
            click.prompt(
                "Password of the account", hide_input=True, confirmation_prompt=True, err=True
            ).encode()
        )
    try:
        data.decode()
    except UnicodeDecodeError as exc:
        raise CREDENTIALS_INVALID.error(reason="the password is not text in UTF-8") from exc
    return SecretBuffer(data)


def _describe(manager: CredentialManager, *, as_json: bool, **more: Any) -> None:
    header = manager.describe()
    stored = rfc3339_of_ns(header.stored_ms * NS_PER_MS)
    lease = manager.lease
    answer: dict[str, Any] = {
        "device": str(header.device),
        "protection": str(header.protection),
        "stored": stored,
        **more,
    }
    if lease is not None:
        answer["lease_ends"] = rfc3339_of_ns(lease.ends_ns)
    show(answer, as_json=as_json)
