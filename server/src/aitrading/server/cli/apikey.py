"""`aitrading apikey`: keys of programs, from the host."""

from datetime import datetime
from pathlib import Path
from uuid import UUID

import click
import msgspec

from aitrading.server.cli.administration import show_answer, tenant_option
from aitrading.server.cli.home_option import home_option
from aitrading.server.cli.host import Host
from aitrading.server.cli.output import json_option, show_json

SCOPES = ("read", "trade", "kill", "admin", "audit")


class CreatedApiKey(msgspec.Struct):
    """A key, told once."""

    id: UUID
    name: str
    key: str
    expires_at: datetime


class ApiKey(msgspec.Struct):
    """What is known of a key."""

    id: UUID
    name: str
    proof: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    last_used_at: datetime | None
    created_by: str | None = None


@click.group()
def apikey() -> None:
    """Keys of an organisation's programs."""


@apikey.command("create")
@click.argument("name")
@tenant_option
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(SCOPES),
    multiple=True,
    required=True,
    help="What the program may do; give the option once for each.",
)
@click.option("--days", type=int, default=90, show_default=True, help="How long it counts: 1-365.")
@click.option("--public-key", help="Its Ed25519 public key (base64url): no secret is made then.")
@json_option
@home_option
def create_key(
    *,
    name: str,
    tenant: str,
    scopes: tuple[str, ...],
    days: int,
    public_key: str | None,
    as_json: bool,
    home: Path,
) -> None:
    """Make a key for the program NAME; a secret one is shown once."""
    wanted = {
        "tenant": tenant,
        "name": name,
        "scopes": scopes,
        "days": days,
        "public_key": public_key,
    }
    made = Host(home).post("api-keys", wanted, CreatedApiKey)
    show_answer(made, as_json=as_json, fields=("name", "key", "expires_at", "id"))


@apikey.command("list")
@tenant_option
@json_option
@home_option
def list_keys(*, tenant: str, as_json: bool, home: Path) -> None:
    """List the keys of an organisation's programs."""
    found = Host(home).get("api-keys", list[ApiKey], tenant=tenant)
    fields = (
        "name",
        "proof",
        "scopes",
        "expires_at",
        "revoked_at",
        "last_used_at",
        "created_by",
        "id",
    )
    show_answer(found, as_json=as_json, fields=fields)


@apikey.command("revoke")
@click.argument("key", type=click.UUID)
@tenant_option
@json_option
@home_option
def revoke_key(*, key: UUID, tenant: str, as_json: bool, home: Path) -> None:
    """End the key with the id KEY; its tokens are refused at once."""
    Host(home).post("api-keys/revoke", {"tenant": tenant, "key": str(key)}, msgspec.Raw)
    if as_json:
        show_json({"key": str(key), "revoked": True})
    else:
        click.echo("The key has ended.", err=True)
