"""`aitrading keys`: the master keys of personal data."""

from pathlib import Path

import click
import msgspec

from aitrading.server.cli.administration import show_answer
from aitrading.server.cli.home_option import home_option
from aitrading.server.cli.host import Host
from aitrading.server.cli.output import json_option


class MasterKey(msgspec.Struct):
    """One master key or file key."""

    purpose: str
    number: int
    wraps: int | None
    newest: bool
    present: bool


class Rotation(msgspec.Struct):
    """What a rotation did."""

    number: int
    rewrapped: int
    file_key: int


@click.group()
def keys() -> None:
    """Master keys, which protect the names of people, devices and accounts."""


@keys.command("list")
@json_option
@home_option
def list_keys(*, as_json: bool, home: Path) -> None:
    """List the master keys, how many organisations' keys each wraps, and the file keys.

    The purpose names the folder below `keys`. A file in `keys/fields` that wraps none is needed for older backups only. One that is not
    present and wraps some is missing: restore it, or what it wraps is lost. File keys in
    `keys/files` seal the spools; which files each of them opens is not counted.
    """
    found = Host(home).get("keys", list[MasterKey])
    show_answer(found, as_json=as_json, fields=("purpose", "number", "wraps", "newest", "present"))


@keys.command()
@json_option
@home_option
def rotate(*, as_json: bool, home: Path) -> None:
    """Make a new master key and a new file key. Nothing stops meanwhile.

    Every organisation's key is wrapped with the new master key. Files written from here on are
    sealed under the new file key; older ones stay readable under theirs, which are kept.

    Make a backup afterwards: an older one needs the older key, which it contains.
    """
    done = Host(home).post("keys/rotate", {}, Rotation)
    show_answer(done, as_json=as_json, fields=("number", "rewrapped", "file_key"))
    if not as_json:
        click.echo(
            "Make a backup now: an older one cannot open what is written from here on.", err=True
        )


class EdgeRotation(msgspec.Struct):
    """What a rotation of the edge's key did."""

    version: int
    in_use: str
    backup: str


@keys.command("rotate-edge")
@json_option
@home_option
def rotate_edge(*, as_json: bool, home: Path) -> None:
    """Let the edge show its backup key, and tell devices of the next one.

    Devices know both keys and go on. One that was not connected since the last rotation knows
    neither, and must be enrolled again. Make a backup afterwards.
    """
    done = Host(home).post("keys/rotate-edge", {}, EdgeRotation)
    show_answer(done, as_json=as_json, fields=("version", "in_use", "backup"))


class TokenRotation(msgspec.Struct):
    """What a rotation of the token key did."""

    kid: str
    published: int


@keys.command("rotate-tokens")
@click.option(
    "--leaked", is_flag=True, help="The old key is known to others: end its tokens at once."
)
@json_option
@home_option
def rotate_tokens(*, leaked: bool, as_json: bool, home: Path) -> None:
    """Let a new key sign access tokens. No request fails and no stream ends meanwhile.

    The new key is published first and signs when the edge accepts it; the old one stays published
    until its last token is over, a quarter of an hour. With `--leaked` every token signed so far is
    refused at once: logins go on, programs and pages renew their tokens.
    """
    done = Host(home).post("keys/rotate-tokens", {"leaked": leaked}, TokenRotation)
    show_answer(done, as_json=as_json, fields=("kid", "published"))
