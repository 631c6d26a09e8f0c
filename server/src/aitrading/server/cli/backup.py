"""`aitrading backup` and `aitrading restore`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from typing_extensions import override

from aitrading.server.cli.home_option import home_option
from aitrading.server.cli.output import json_option, show_json, show_table

if TYPE_CHECKING:
    from aitrading.core.kit.secret import Secret
    from aitrading.server.backup.restore import RestoreReport
    from aitrading.server.backup.sealing import OpenWith, SealFor
    from aitrading.server.supervisor.assembly import Kit

MIB: Final = 1 << 20
Command = Any


class _BackupCommands(click.Group):
    """`aitrading backup FILE` is short for `aitrading backup make FILE`."""

    @override
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] == "--verify":
            args = ["verify", *args[1:]]
        elif args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = ["make", *args]
        return super().parse_args(ctx, args)


def _passphrase_options(command: Command) -> Command:
    command = click.option(
        "--passphrase-fd", type=int, help="Read the passphrase from this open descriptor."
    )(command)
    return click.option(
        "--passphrase-file",
        type=click.Path(path_type=Path),
        help="Read the passphrase from the first line of this file.",
    )(command)


@click.group(cls=_BackupCommands)
def backup() -> None:
    """Make, examine and list backups; `backup FILE` makes one."""


@backup.command()
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--recovery-key",
    "recovery_keys",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Seal to the public key in this file (`aitrading backup new-key`); may be repeated.",
)
@_passphrase_options
@json_option
@home_option
def make(
    *,
    target: Path,
    recovery_keys: tuple[Path, ...],
    passphrase_file: Path | None,
    passphrase_fd: int | None,
    as_json: bool,
    home: Path,
) -> None:
    """Write everything of the running platform into one encrypted file (or into a folder)."""
    from aitrading.server.backup.make import make_backup  # noqa: PLC0415 - heavy
    from aitrading.server.supervisor.home import Home  # noqa: PLC0415 - heavy

    seal_for = _seal_for(recovery_keys, passphrase_file, passphrase_fd)
    report = make_backup(Home(home), target.expanduser().absolute(), seal_for, _kit())
    if as_json:
        show_json(report)
        return
    click.echo(report.path)
    click.echo(
        f"{report.size_bytes / MIB:.1f} MB in {report.took_ms / 1000:.1f} s, as of "
        f"{report.manifest.marker.at}. Examine it with `aitrading backup verify`.",
        err=True,
    )


@backup.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--recovery-key",
    type=click.Path(path_type=Path),
    help="Open it with the private key in this file.",
)
@_passphrase_options
@json_option
@home_option
def verify(
    *,
    file: Path,
    recovery_key: Path | None,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
    as_json: bool,
    home: Path,
) -> None:
    """Restore a backup into a temporary home, examine it and say what is in it."""
    from aitrading.server.backup.noting import noted  # noqa: PLC0415 - heavy
    from aitrading.server.backup.restore import verify_backup  # noqa: PLC0415 - heavy
    from aitrading.server.supervisor.home import Home  # noqa: PLC0415 - heavy

    report = verify_backup(file, _open_with(recovery_key, passphrase_file, passphrase_fd), _kit())
    _show_contents(report, as_json=as_json)
    if not noted(Home(home), report.manifest.marker.backup):
        click.echo("The platform does not run here; its books do not know of this.", err=True)


@backup.command("list")
@json_option
@home_option
def list_backups(*, as_json: bool, home: Path) -> None:
    """Backups of this installation, the newest first."""
    from aitrading.server.backup.noting import recorded  # noqa: PLC0415 - heavy
    from aitrading.server.supervisor.home import Home  # noqa: PLC0415 - heavy

    records = recorded(Home(home))
    if as_json:
        show_json(records)
        return
    show_table(
        ("BEGAN", "STATE", "MB", "VERIFIED", "TARGET"),
        (
            (
                one.began_at[:19],
                one.state,
                "" if one.size_bytes is None else f"{one.size_bytes / MIB:.1f}",
                (one.verified_at or "never")[:19],
                one.target if one.reason is None else f"{one.target}: {one.reason}",
            )
            for one in records
        ),
    )


@backup.command("new-key")
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def new_key(*, file: Path, as_json: bool) -> None:
    """Draw a recovery key: FILE opens backups (keep it elsewhere), FILE.pub seals them."""
    from aitrading.server.backup.secrets_given import write_new_key  # noqa: PLC0415 - heavy

    public = write_new_key(file)
    if as_json:
        show_json({"private": file, "public": public})
    else:
        click.echo(public)
        click.echo(f"Keep {file} away from this machine: it opens every backup.", err=True)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--recovery-key",
    type=click.Path(path_type=Path),
    help="Open it with the private key in this file.",
)
@_passphrase_options
@json_option
@home_option
def restore(
    *,
    file: Path,
    recovery_key: Path | None,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
    as_json: bool,
    home: Path,
) -> None:
    """Make a home from a backup; it must not exist yet, or be empty."""
    from aitrading.server.backup.restore import restore_backup  # noqa: PLC0415 - heavy

    open_with = _open_with(recovery_key, passphrase_file, passphrase_fd)
    report = restore_backup(file, home, open_with, _kit())
    _show_contents(report, as_json=as_json)
    click.echo(f"Restored. Start it with `aitrading up --home {report.home}`.", err=True)


def _show_contents(report: "RestoreReport", *, as_json: bool) -> None:
    marker = report.manifest.marker
    if as_json:
        show_json(report)
        return
    show_table(
        ("PART", "FILES", "BYTES"),
        ((part.name, part.files, part.size_bytes) for part in report.manifest.parts),
    )
    click.echo(
        f"As of {marker.at}, release {marker.release}: {report.rows} rows in ClickHouse as written, "
        f"row security and migrations in order; {report.took_ms / 1000:.1f} s.",
        err=True,
    )


def _seal_for(
    recovery_keys: tuple[Path, ...], passphrase_file: Path | None, passphrase_fd: int | None
) -> "SealFor":
    from aitrading.server.backup import secrets_given  # noqa: PLC0415 - heavy
    from aitrading.server.backup.sealing import SealFor  # noqa: PLC0415 - heavy

    passphrase = _passphrase(passphrase_file, passphrase_fd, ask=not recovery_keys, confirm=True)
    return SealFor(
        passphrase=None if passphrase is None else secrets_given.checked_passphrase(passphrase),
        recovery_keys=[secrets_given.public_key_from_file(path) for path in recovery_keys],
    )


def _open_with(
    recovery_key: Path | None, passphrase_file: Path | None, passphrase_fd: int | None
) -> "OpenWith":
    from aitrading.server.backup import secrets_given  # noqa: PLC0415 - heavy
    from aitrading.server.backup.sealing import OpenWith  # noqa: PLC0415 - heavy

    return OpenWith(
        passphrase=_passphrase(
            passphrase_file, passphrase_fd, ask=recovery_key is None, confirm=False
        ),
        recovery_key=recovery_key and secrets_given.private_key_from_file(recovery_key),
    )


def _passphrase(
    file: Path | None, descriptor: int | None, *, ask: bool, confirm: bool
) -> "Secret[str] | None":
    from aitrading.core.kit.secret import Secret  # noqa: PLC0415 - rare
    from aitrading.server.backup import secrets_given  # noqa: PLC0415 - heavy

    if file is not None:
        return secrets_given.passphrase_from_file(file)
    if descriptor is not None:
        return secrets_given.passphrase_from_descriptor(descriptor)
    if not ask:
        return None
    return Secret(
        click.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm, err=True)
    )


def _kit() -> "Kit":
    from aitrading.core.kit.clock import SystemClock  # noqa: PLC0415 - heavy
    from aitrading.core.kit.ids import SystemIdFactory  # noqa: PLC0415 - heavy
    from aitrading.core.kit.randomness import SystemRandomness  # noqa: PLC0415 - heavy
    from aitrading.server.supervisor.assembly import Kit  # noqa: PLC0415 - heavy

    clock, randomness = SystemClock(), SystemRandomness()
    return Kit(clock=clock, randomness=randomness, ids=SystemIdFactory(clock, randomness))
