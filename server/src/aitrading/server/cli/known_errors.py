"""Errors that happened: the last ones, those like one, and what solved them."""

from pathlib import Path
from typing import Final, TypeVar

import click
import msgspec

from aitrading.server.cli.host import Host
from aitrading.server.cli.output import json_option, printable, show_json, show_table
from aitrading.server.cli.session import person_option, web_for

T = TypeVar("T")
API: Final = "/api/v1/errors"
HOST_PATH: Final = "errors"
DATABASE: Final = "database-service"


class SeenError(msgspec.Struct, kw_only=True):
    """One kind of error."""

    fingerprint: str
    code: str
    message: str
    severity: str
    impact: str
    services: list[str]
    occurrences: int
    first_seen: str
    last_seen: str
    trace_id: str | None
    resolutions: int


class SeenErrors(msgspec.Struct, kw_only=True):
    """The last ones."""

    items: list[SeenError]


class LikeIt(msgspec.Struct, kw_only=True):
    """An earlier error and what solved it."""

    fingerprint: str
    code: str
    message: str
    similarity: float
    resolutions: list[str] = []


class SimilarErrors(msgspec.Struct, kw_only=True):
    """The most similar first."""

    items: list[LikeIt]


class Written(msgspec.Struct, kw_only=True):
    """A resolution that was kept."""

    id: str
    fingerprint: str
    note: str
    author: str


@click.command()
@click.option(
    "--limit", type=click.IntRange(1, 500), default=20, show_default=True, help="How many."
)
@json_option
@person_option
def recent(*, limit: int, as_json: bool, person: str | None, home: Path) -> None:
    """List the errors seen last: the platform's own, or with --for those of an organisation."""
    found = _get(home, person, "", SeenErrors, limit=str(limit)).items
    if as_json:
        show_json(found)
        return
    rows = [
        (
            each.last_seen[:19],
            each.fingerprint,
            each.code,
            each.occurrences,
            ", ".join(each.services),
            "yes" if each.resolutions else "",
            printable(each.message),
        )
        for each in found
    ]
    show_table(("last seen", "fingerprint", "code", "times", "by", "solved", "what"), rows)


@click.command()
@click.argument("fingerprint")
@click.argument("note")
@json_option
@person_option
def resolve(*, fingerprint: str, note: str, as_json: bool, person: str | None, home: Path) -> None:
    """Write down in NOTE what solved the error FINGERPRINT; similar errors show it."""
    path, body = f"{fingerprint}/resolutions", {"note": note}
    if person is None:
        kept = Host(home).post(f"{HOST_PATH}/{path}", body, Written, peer=DATABASE)
    else:
        kept = web_for(home, person).post(f"{API}/{path}", body, Written)
    if as_json:
        show_json(kept)
    else:
        click.echo(f"Kept as {kept.id}.")


def show_similar(home: Path, person: str | None, wanted: str, *, as_json: bool) -> None:
    """Print the earlier errors like a code, a fingerprint or a message."""
    found = _get(home, person, "/similar", SimilarErrors, to=wanted).items
    if as_json:
        show_json(found)
        return
    rows = [
        (
            f"{each.similarity:.2f}",
            each.fingerprint,
            each.code,
            printable(each.message),
            printable(" · ".join(each.resolutions)),
        )
        for each in found
    ]
    show_table(("like", "fingerprint", "code", "what", "what solved it"), rows)


def _get(home: Path, person: str | None, below: str, answer: type[T], **query: str) -> T:
    if person is None:
        return Host(home).get(f"{HOST_PATH}{below}", answer, peer=DATABASE, **query)
    return web_for(home, person).get(f"{API}{below}", answer, **query)
