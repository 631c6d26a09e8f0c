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
