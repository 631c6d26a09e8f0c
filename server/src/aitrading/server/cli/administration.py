"""`aitrading tenant|user|account`: administration from the host."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import click
import msgspec

from aitrading.server.cli.home_option import home_option
from aitrading.server.cli.host import Host
from aitrading.server.cli.output import json_option, show_json, show_table
from aitrading.server.cli.session import local_web

ROLES = ("owner", "admin", "trader", "viewer", "auditor")
ACCOUNT_FIELDS = ("name", "broker_server", "login", "currency", "device", "id")
ERASED_NOTE = (
    "Backups made before still have its key: delete them when you may. On the database's own disk\n"
    "the deleted row may last a while; `aitrading keys rotate` makes it worthless once the old\n"
    "master key's file and the backups that contain it are deleted."
)


class Tenant(msgspec.Struct):
    """One organisation."""

    id: UUID
    name: str
    state: str
    created_at: datetime


class Erasure(msgspec.Struct):
    """What an erasure ended."""

    tenant: UUID
    sessions_ended: int
    devices_revoked: int


class User(msgspec.Struct):
    """One person."""

    id: UUID
    name: str
    display_name: str
    role: str
    state: str
    created_at: datetime
    password_ends_at: datetime | None
    password_ended: bool

    @property
    def password_until(self) -> str:
        """How long the password counts: for ever, if the person chose it."""
        if self.password_ends_at is None:
            return "own"
        moment = f"{self.password_ends_at:%Y-%m-%d %H:%M}"
        return f"ended {moment}" if self.password_ended else moment


class Credentials(msgspec.Struct):
    """A login, told once."""

    user: UUID
    name: str
    password: str | None
    password_ends_at: datetime


class FactorsReset(msgspec.Struct):
    """What ended with a person's second factors."""

    sessions_ended: int


class LoginLink(msgspec.Struct):
    """The code of a one-time link."""

    code: str
    lifetime_s: int


class Account(msgspec.Struct):
    """One broker account."""

    id: UUID
    name: str
    broker_server: str
    login: str
    currency: str
    margin_mode: str
    simulated: bool
    device: UUID | None


def tenant_option(command: Any) -> Any:
    """Add `--tenant`."""
    return click.option("--tenant", required=True, help="The organisation, by name or id.")(
        command
    )


def show_answer(
    answer: msgspec.Struct | Sequence[msgspec.Struct], *, as_json: bool, fields: tuple[str, ...]
) -> None:
    """Print what was answered: JSON, or a table of these fields."""
    if as_json:
        show_json(answer)
        return
    items = [answer] if isinstance(answer, msgspec.Struct) else answer
    show_table(fields, [[_cell(getattr(item, name)) for name in fields] for item in items])


def _cell(value: Any) -> object:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M")
    return ", ".join(value) if isinstance(value, tuple) else value  # pyright: ignore[reportUnknownArgumentType]


@click.group()
def tenant() -> None:
    """Organisations."""


@tenant.command("create")
@click.argument("name")
@json_option
@home_option
def create_tenant(*, name: str, as_json: bool, home: Path) -> None:
    """Create an organisation; NAME is lower-case letters, digits and hyphens."""
    made = Host(home).post("tenants", {"name": name}, Tenant)
    show_answer(made, as_json=as_json, fields=("name", "id", "state"))


@tenant.command("list")
@json_option
@home_option
def list_tenants(*, as_json: bool, home: Path) -> None:
    """List all organisations."""
    found = Host(home).get("tenants", list[Tenant])
    show_answer(found, as_json=as_json, fields=("name", "id", "state", "created_at"))


@tenant.command("suspend")
@click.argument("name")
@json_option
@home_option
def suspend_tenant(*, name: str, as_json: bool, home: Path) -> None:
    """Keep an organisation out: its sessions and its devices' links end at once.

    What was recorded stays, and its kill switch stays as it is: `aitrading kill --tenant NAME`
    engages it. `aitrading tenant activate NAME` lets it in again.
    """
    _set_tenant_state(home, name, "suspended", as_json=as_json)


@tenant.command("activate")
@click.argument("name")
@json_option
@home_option
def activate_tenant(*, name: str, as_json: bool, home: Path) -> None:
    """Let a suspended organisation in again; people log in anew, devices come by themselves."""
    _set_tenant_state(home, name, "active", as_json=as_json)


@tenant.command("erase")
@click.argument("name")
@click.option(
    "--yes-erase", metavar="NAME", help="The name a second time, for scripts; else it is asked."
)
@json_option
@home_option
def erase_tenant(*, name: str, yes_erase: str | None, as_json: bool, home: Path) -> None:
    """Destroy the key of an organisation's personal data; this cannot be undone.

    Names of its people, devices and accounts become unreadable for everybody, sessions and links
    end, devices are revoked. Ticks and audit events, which name nobody, stay. Backups made before
    still have the key until they are deleted.
    """
    typed = yes_erase
    if typed is None:
        typed = click.prompt(f"Type the name of the organisation to erase ({name})", err=True)
    done = Host(home).post("tenants/erase", {"tenant": name, "confirm": typed}, Erasure)
    show_answer(done, as_json=as_json, fields=("tenant", "sessions_ended", "devices_revoked"))
    if not as_json:
        click.echo(ERASED_NOTE, err=True)


def _set_tenant_state(home: Path, name: str, state: str, *, as_json: bool) -> None:
    Host(home).post("tenants/state", {"tenant": name, "state": state}, msgspec.Raw)
    if as_json:
        show_json({"tenant": name, "state": state})
    else:
        click.echo(f"{name} is {state}.", err=True)


@click.group()
def user() -> None:
    """People of an organisation."""


@user.command("create")
@click.argument("name")
@tenant_option
@click.option(
    "--role",
    type=click.Choice(ROLES),
    default="viewer",
    show_default=True,
    help="What the person may do.",
)
@click.option("--display-name", help="How the person is called; the login name by default.")
@json_option
@home_option
def create_user(
    *, name: str, tenant: str, role: str, display_name: str | None, as_json: bool, home: Path
) -> None:
    """Create a person; the password is generated and shown once.

    It counts for `login.first_password_h` hours: the person logs in before, and sets their own.
    """
    wanted = {"tenant": tenant, "user": name, "display_name": display_name or name, "role": role}
    made = Host(home).post("users", wanted, Credentials)
    show_answer(made, as_json=as_json, fields=("name", "password", "user"))
    _tell_end(made, as_json=as_json)


@user.command("list")
@tenant_option
@json_option
@home_option
def list_users(*, tenant: str, as_json: bool, home: Path) -> None:
    """List the people of an organisation.

    `password_until` tells of a password that the host made until when it counts; `own` is one that
    the person chose.
    """
    found = Host(home).get("users", list[User], tenant=tenant)
    fields = ("name", "display_name", "role", "state", "created_at", "password_until")
    show_answer(found, as_json=as_json, fields=fields)
    for person in () if as_json else found:
        if person.password_ended:
            click.echo(
                f"The first password of {person.name} ended. A new one: "
                f"aitrading user reset-password {tenant}/{person.name}",
                err=True,
            )


@user.command("reset-password")
@click.argument("person", metavar="TENANT/USER")
@json_option
@home_option
def reset_password(*, person: str, as_json: bool, home: Path) -> None:
    """Give a person a new generated password and end all their sessions.

    It counts for `login.first_password_h` hours: the person logs in before, and sets their own.
    """
    host = Host(home)
    made = host.post("users/password", host.person(person), Credentials)
    show_answer(made, as_json=as_json, fields=("name", "password"))
    _tell_end(made, as_json=as_json)


def _tell_end(made: Credentials, *, as_json: bool) -> None:
    if not as_json:
        click.echo(
            f"It counts until {made.password_ends_at:%Y-%m-%d %H:%M} UTC; then set your own: "
            "`aitrading password`, or on the page.",
            err=True,
        )


@user.command("reset-factors")
@click.argument("person", metavar="TENANT/USER")
@json_option
@home_option
def reset_factors(*, person: str, as_json: bool, home: Path) -> None:
    """Take a person's second factors and recovery codes away and end all their sessions.

    For who lost them all: afterwards the password alone logs in. Make sure that it is them.
    """
    host = Host(home)
    made = host.post("users/reset-factors", host.person(person), FactorsReset)
    if as_json:
        show_json({"person": person, "sessions_ended": made.sessions_ended})
    else:
        click.echo(f"{person} logs in with the password alone now.", err=True)


@user.command("link")
@click.argument("person", metavar="TENANT/USER")
@json_option
@home_option
def login_link(*, person: str, as_json: bool, home: Path) -> None:
    """Print a link that opens the page logged in as this person; it works once and soon ends."""
    host = Host(home)
    made = host.post("login-link", host.person(person), LoginLink)
    url = f"{local_web(home, None).url}/login#link={made.code}"
    if as_json:
        show_json({"url": url, "lifetime_s": made.lifetime_s})
    else:
        click.echo(url)
        click.echo(f"valid for {made.lifetime_s} s, once", err=True)


@user.command("suspend")
@click.argument("person", metavar="TENANT/USER")
@json_option
@home_option
def suspend_user(*, person: str, as_json: bool, home: Path) -> None:
    """Keep a person out and end all their sessions at once."""
    _set_state(home, person, "suspended", as_json=as_json)


@user.command("activate")
@click.argument("person", metavar="TENANT/USER")
@json_option
@home_option
def activate_user(*, person: str, as_json: bool, home: Path) -> None:
    """Let a suspended person in again."""
    _set_state(home, person, "active", as_json=as_json)


@user.command("set-role")
@click.argument("person", metavar="TENANT/USER")
@click.argument("role", type=click.Choice(ROLES))
@json_option
@home_option
def set_role(*, person: str, role: str, as_json: bool, home: Path) -> None:
    """Give a person another role and end all their sessions: they log in anew with it."""
    host = Host(home)
    keys = host.post("users/role", {**host.person(person), "role": role}, KeysOfMaker)
    if as_json:
        show_json({"person": person, "role": role, **msgspec.structs.asdict(keys)})
    else:
        click.echo(f"{person} is {role}.", err=True)
        _tell_keys(keys)


def _set_state(home: Path, person: str, state: str, *, as_json: bool) -> None:
    host = Host(home)
    keys = host.post("users/state", {**host.person(person), "state": state}, KeysOfMaker)
    if as_json:
        show_json({"person": person, "state": state, **msgspec.structs.asdict(keys)})
    else:
        click.echo(f"{person} is {state}.", err=True)
        _tell_keys(keys)


class KeysOfMaker(msgspec.Struct, kw_only=True):
    """What became of the keys that a person made for programs."""

    keys_ended: list[str] = []
    keys_kept: list[str] = []
    keys_of_unknown_makers: int = 0


def _tell_keys(keys: KeysOfMaker) -> None:
    if keys.keys_ended:
        ended = ", ".join(keys.keys_ended)
        click.echo(
            f"Keys of programs that ended with it ({len(keys.keys_ended)}): {ended}.", err=True
        )
    if keys.keys_kept:
        kept = ", ".join(keys.keys_kept)
        click.echo(f"Keys that stay, because the role allows what they do: {kept}.", err=True)
    if keys.keys_of_unknown_makers:
        click.echo(
            f"Keys that do not say who made them: {keys.keys_of_unknown_makers}. "
            "Look at `aitrading apikey list`.",
            err=True,
        )


@click.group()
def account() -> None:
    """Broker accounts of an organisation."""


@account.command("list")
@tenant_option
@json_option
@home_option
def list_accounts(*, tenant: str, as_json: bool, home: Path) -> None:
    """List the broker accounts of an organisation."""
    found = Host(home).get("accounts", list[Account], tenant=tenant)
    show_answer(found, as_json=as_json, fields=(*ACCOUNT_FIELDS, "margin_mode", "simulated"))


@account.command("create")
@click.argument("name")
@tenant_option
@click.option("--broker-server", required=True, help="The server as the terminal names it.")
@click.option("--login", required=True, help="The account's number.")
@click.option("--currency", required=True, help="The account's currency, three letters.")
@click.option(
    "--margin-mode",
    type=click.Choice(("hedging", "netting")),
    default="hedging",
    show_default=True,
    help="How positions of one symbol add up.",
)
@click.option("--device", help="The device whose terminal is logged in to it.")
@json_option
@home_option
def create_account(*, as_json: bool, home: Path, **wanted: Any) -> None:
    """Create a broker account."""
    made = Host(home).post("accounts", wanted, Account)
    show_answer(made, as_json=as_json, fields=ACCOUNT_FIELDS)


@account.command("set")
@click.argument("account", type=click.UUID)
@tenant_option
@click.option("--device", type=click.UUID, help="The device, by its id.")
@click.option("--no-device", is_flag=True, help="No device executes it any more.")
@json_option
@home_option
def set_account(
    *,
    account: UUID,
    tenant: str,
    device: UUID | None,
    no_device: bool,
    as_json: bool,
    home: Path,
) -> None:
    """Name the device whose terminal may execute ACCOUNT, by the account's id."""
    if (device is None) is not no_device:
        raise click.UsageError("Give --device ID or --no-device.")
    wanted = {"tenant": tenant, "account": account, "device": device}
    changed = Host(home).post("accounts/device", wanted, Account)
    show_answer(changed, as_json=as_json, fields=ACCOUNT_FIELDS)
