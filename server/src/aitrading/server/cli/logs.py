"""`aitrading logs`: what the processes of this home wrote."""

import os
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from aitrading.server.cli.errors import LOG_NOT_FOUND
from aitrading.server.cli.home_option import home_option
from aitrading.server.cli.log_policy import cost, lifecycle, policy, tier
from aitrading.server.cli.output import json_option, printable
from aitrading.server.supervisor.home import Home

LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
POLL_S: Final = 0.2
MAX_LINES: Final = 100_000
_COLOURS: Final = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}


@click.group()
def logs() -> None:
    """Logs of services and engines."""


logs.add_command(policy)
logs.add_command(tier)
logs.add_command(cost)
logs.add_command(lifecycle)


@logs.command()
@click.argument("names", nargs=-1)
@click.option(
    "--lines",
    "-n",
    type=click.IntRange(1, MAX_LINES),
    default=20,
    show_default=True,
    help="How many of the last lines.",
)
@click.option("--follow", "-f", is_flag=True, help="Go on until Ctrl-C.")
@click.option("--level", type=click.Choice(LEVELS), default="DEBUG", help="The least important.")
@json_option
@home_option
def tail(
    *, names: tuple[str, ...], lines: int, follow: bool, level: str, as_json: bool, home: Path
) -> None:
    """Show the last log lines of NAMES, or of everything."""
    files = _files(Home(home).logs, names)
    shown = Lines(level, as_json=as_json)
    newest = [entry for path in files for entry in shown.read(path, lines)]
    for entry in sorted(newest, key=_time_of)[-lines:]:
        shown.show(entry)
    if follow:
        _follow(files, shown)


def lines_about(home: Path, trace_id: str) -> list[dict[str, Any]]:
    """What every process of this home logged about one trace, in order."""
    lines = Lines("DEBUG", as_json=False)
    found = [
        entry
        for path in _files(Home(home).logs, ())
        for entry in lines.read(path, MAX_LINES, containing=trace_id.encode())
        if entry.get("trace_id") == trace_id
    ]
    return sorted(found, key=_time_of)


class Lines:
    """Reads, filters and prints log lines; a line that is not JSON is shown as it is."""

    def __init__(self, level: str, *, as_json: bool) -> None:
        self._rank = LEVELS.index(level)
        self._as_json = as_json

    def read(self, path: Path, limit: int, containing: bytes = b"") -> list[dict[str, Any]]:
        """The last lines of a file that count."""
        with path.open("rb") as file:
            kept = deque((line for line in file if containing in line), maxlen=limit)
        return [entry for line in kept if (entry := self.parse(path.stem, line))]

    def parse(self, name: str, line: bytes) -> dict[str, Any] | None:
        """One line, or None when it is less important than asked for."""
        text = line.decode(errors="replace").rstrip("\n")
        try:
            entry: dict[str, Any] = msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.MsgspecError:
            entry = {"service": name, "level": "INFO", "msg": text}
        level = str(entry.get("level", "INFO"))
        counts = LEVELS.index(level) >= self._rank if level in LEVELS else True
        return entry if counts and text else None

    def show(self, entry: dict[str, Any]) -> None:
        """Print it."""
        if self._as_json:
            click.echo(msgspec.json.encode(entry).decode())
            return
        level = str(entry.get("level", ""))
        when = str(entry.get("ts", ""))[11:23]
        service = printable(str(entry.get("service", "")))
        head = f"{when:<12} {click.style(f'{level:<8}', fg=_COLOURS.get(level))} {service:<17}"
        click.echo(f"{head} {printable(str(entry.get('msg', '')))}{_fields(entry)}")


def _fields(entry: dict[str, Any]) -> str:
    fields: Any = entry.get("fields") or {}
    shown = printable(" ".join(f"{key}={value}" for key, value in fields.items()))
    code = entry.get("error_code")
    text = " ".join(part for part in (f"[{code}]" if code else "", shown) if part)
    return click.style(f"  {text}", dim=True) if text else ""


def _time_of(entry: dict[str, Any]) -> str:
    return str(entry.get("ts", ""))


def _files(folder: Path, names: tuple[str, ...]) -> list[Path]:
    known = {path.stem: path for path in sorted(folder.glob("*.log"))}
    for name in names:
        if name not in known:
            raise LOG_NOT_FOUND.error(
                wanted=name, folder=str(folder), known=", ".join(known) or "none"
            )
    return [known[name] for name in names] if names else list(known.values())


def _follow(files: list[Path], shown: Lines) -> None:
    positions = {path: path.stat().st_size for path in files}
    while True:
        time.sleep(POLL_S)
        for path in files:
            for line in _new_lines(path, positions):
                if entry := shown.parse(path.stem, line):
                    shown.show(entry)


def _new_lines(path: Path, positions: dict[Path, int]) -> Iterator[bytes]:
    """Whole lines only; a file that became shorter was rotated and is read from its start."""
    size = path.stat().st_size
    start = positions[path] if size >= positions[path] else 0
    with path.open("rb") as file:
        file.seek(start, os.SEEK_SET)
        content = file.read(size - start)
    whole = content.rpartition(b"\n")[0]
    positions[path] = start + len(whole) + (1 if whole else 0)
    yield from whole.splitlines(keepends=True)
