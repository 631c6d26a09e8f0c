"""`aitrading ca`: the authority that signs the edge's certificate."""

import shutil
import subprocess  # one fixed system command
from pathlib import Path
from typing import Final

import click

from aitrading.server.cli.errors import CA_NOT_INSTALLED, CA_NOT_MADE
from aitrading.server.cli.home_option import home_option
from aitrading.server.cli.output import json_option, show_json
from aitrading.server.supervisor.home import Home
from aitrading.server.supervisor.identities import certificate_fingerprint

SYSTEM_FOLDER: Final = Path("/usr/local/share/ca-certificates")
UPDATE: Final = "update-ca-certificates"
UPDATE_TIMEOUT_S: Final = 60
FINGERPRINT_DIGITS: Final = 12


@click.group()
def ca() -> None:
    """The authority that browsers and clients trust."""


@ca.command()
@click.option("--pem", is_flag=True, help="Print the certificate itself.")
@json_option
@home_option
def show(*, pem: bool, as_json: bool, home: Path) -> None:
    """Tell where the certificate is, and its fingerprint."""
    path, fingerprint = _authority(home)
    if pem:
        click.echo(path.read_text(encoding="ascii"), nl=False)
    elif as_json:
        show_json({"certificate": path, "sha256": fingerprint})
    else:
        click.echo(f"{path}\nSHA256 {fingerprint}")


@ca.command()
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=SYSTEM_FOLDER,
    show_default=True,
    help="Where the system looks for authorities.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@home_option
def install(*, folder: Path, yes: bool, as_json: bool, home: Path) -> None:
    """Make this machine trust the authority; needs root."""
    path, fingerprint = _authority(home)
    if not yes:
        click.confirm(f"Trust SHA256 {fingerprint} for every site?", abort=True, err=True)
    target = folder / f"aitrading-{fingerprint[:FINGERPRINT_DIGITS]}.crt"
    try:
        shutil.copyfile(path, target)
    except OSError as exc:
        reason = f"{target}: {exc.strerror}."
        raise CA_NOT_INSTALLED.error(reason=reason, certificate=str(path)) from exc
    if folder == SYSTEM_FOLDER:
        _update(path)
    if as_json:
        show_json({"installed": target, "sha256": fingerprint})
    else:
        click.echo(
            f"Installed as {target}. Firefox keeps its own list: import it there.", err=True
        )


def _update(path: Path) -> None:
    command = shutil.which(UPDATE)
    if command is None:
        reason = f"{UPDATE} is not on this system."
        raise CA_NOT_INSTALLED.error(reason=reason, certificate=str(path))
    done = subprocess.run(  # noqa: S603 - a fixed program without input
        [command], capture_output=True, check=False, timeout=UPDATE_TIMEOUT_S
    )
    if done.returncode != 0:
        reason = f"{UPDATE} failed: {done.stderr.decode(errors='replace').strip()}"
        raise CA_NOT_INSTALLED.error(reason=reason, certificate=str(path))


def _authority(home: Path) -> tuple[Path, str]:
    path = Home(home).trust / "edge-ca.pem"
    fingerprint = certificate_fingerprint(path)
    if fingerprint is None:
        raise CA_NOT_MADE.error(home=str(home))
    return path, fingerprint
