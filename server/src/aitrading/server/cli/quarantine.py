"""`aitrading quarantine`: segments of ticks that can never be stored, and why."""

from pathlib import Path

import click

from aitrading.core.infrastructure.files import write_atomically
from aitrading.core.security.file_sealing import FileKeys
from aitrading.server.cli.errors import COPY_NOT_KNOWN, COPY_NOT_WRITTEN
from aitrading.server.cli.home_option import home_option
from aitrading.server.cli.output import json_option, printable, show_json, show_table
from aitrading.server.database_service.ticks.quarantine import notes_of, opened_copy
from aitrading.server.personal_data.file_keys import FILES_FOLDER, FileKeyFolder
from aitrading.server.supervisor.home import Home


@click.group()
def quarantine() -> None:
    """Copies of segments that the store refused for good; everything behind them went on."""


@quarantine.command("list")
@json_option
@home_option
def list_copies(*, as_json: bool, home: Path) -> None:
    """List the copies, the oldest first, and what is wrong with each."""
    found = notes_of(Home(home).quarantine)
    if as_json:
        show_json(found)
        return
    rows = [(each.segment, each.cause, each.set_aside, printable(each.message)) for each in found]
    show_table(("segment", "cause", "set_aside", "message"), rows)


@quarantine.command("open")
@click.argument("segment")
@click.option(
    "--to",
    "target",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The file to write; only its owner may read it.",
)
@json_option
@home_option
def open_copy(*, segment: str, target: Path, as_json: bool, home: Path) -> None:
    """Write the copy SEGMENT in the clear, as its sender sent it; the sealed copy stays."""
    place = Home(home)
    if segment not in {each.segment for each in notes_of(place.quarantine)}:
        raise COPY_NOT_KNOWN.error(segment=segment, folder=str(place.quarantine))
    files = FileKeyFolder(place.keys / FILES_FOLDER, environment="development")
    content = opened_copy(place.quarantine, segment, FileKeys(files.in_order))
    try:
        write_atomically(target, content)
    except OSError as exc:
        raise COPY_NOT_WRITTEN.error(path=str(target), reason=exc.strerror or str(exc)) from exc
    if as_json:
        show_json({"segment": segment, "file": str(target), "bytes": len(content)})
    else:
        click.echo(f"{len(content)} bytes are in {target}.", err=True)
