"""`aitrading certificate`: a certificate of a public authority, for browsers."""

from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import click
import msgspec

from aitrading.server.cli.administration import show_answer
from aitrading.server.cli.home_option import home_option
from aitrading.server.cli.host import GATEWAY, Host
from aitrading.server.cli.output import json_option

FIELDS = ("names", "issuer", "ends", "sha256")


class ShownSite(msgspec.Struct):
    """What browsers are shown, or were."""

    names: tuple[str, ...]
    issuer: str
    ends: datetime | None
    sha256: str


@click.group()
def certificate() -> None:
    """A certificate of a public authority, which browsers are shown in place of the own one."""


@certificate.command()
@click.option(
    "--chain",
    type=click.File("rb"),
    required=True,
    help="The certificate and those of its issuers, PEM (`fullchain.pem`).",
)
@click.option(
    "--key",
    type=click.File("rb"),
    required=True,
    help="Its key, PEM without a passphrase (`privkey.pem`).",
)
@json_option
@home_option
def install(*, chain: BinaryIO, key: BinaryIO, as_json: bool, home: Path) -> None:
    """Show browsers this certificate, under the names of `gateway.hosts` that it is for.

    It is examined first, and nothing changes when it is refused. No connection ends. Devices are
    shown the installation's own certificate as before. Run it again with the renewed files.
    """
    files = {"chain": _text(chain), "key": _text(key)}
    shown = Host(home).post("certificate", files, ShownSite)
    show_answer(shown, as_json=as_json, fields=FIELDS)


@certificate.command()
@json_option
@home_option
def show(*, as_json: bool, home: Path) -> None:
    """Tell which certificate is installed, where it is shown, and when it ends."""
    shown = Host(home).get("certificate", ShownSite)
    _tell(shown, as_json=as_json)


@certificate.command()
@json_option
@home_option
def remove(*, as_json: bool, home: Path) -> None:
    """Show everybody the installation's own certificate again, and forget the installed one.

    Streams that came in by it end within ten minutes; pages open them again by themselves.
    """
    removed = Host(home).send("DELETE", "certificate", ShownSite, peer=GATEWAY)
    _tell(removed, as_json=as_json)


def _tell(shown: ShownSite, *, as_json: bool) -> None:
    if as_json or shown.sha256:
        show_answer(shown, as_json=as_json, fields=FIELDS)
    else:
        click.echo("None is installed: browsers are shown the installation's own.", err=True)


def _text(file: BinaryIO) -> str:
    """What is no text is refused as no PEM, where it is examined."""
    return file.read().decode(errors="replace")
