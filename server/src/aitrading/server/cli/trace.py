"""`aitrading trace`: what a request took, step by step, and what the processes logged about it."""

import shutil
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from aitrading.core.kit.errors import AitradingError, Category
from aitrading.server.cli.errors import TRACE_NOT_FOUND
from aitrading.server.cli.host import Host
from aitrading.server.cli.logs import Lines, lines_about
from aitrading.server.cli.output import (
    exit_code_of,
    json_option,
    printable,
    show_error,
    show_json,
    show_table,
)
from aitrading.server.cli.session import person_option, web_for

API: Final = "/api/v1/traces"
HOST_PATH: Final = "traces"
DATABASE: Final = "database-service"
LEAST_BAR: Final = 8
MOST_BAR: Final = 60
BESIDE_BAR: Final = 72
"""Columns for everything but the bars."""
NAME_CHARS: Final = 44
_COLOURS: Final = {"failed": "red", "refused": "yellow"}


class Step(msgspec.Struct, kw_only=True):
    """One step of a trace."""

    id: str
    parent: str | None
    depth: int
    service: str
    kind: str
    name: str
    offset_ms: float
    took_ms: float
    outcome: str
    code: str | None
    fingerprint: str | None
    orphan: bool


class Trace(msgspec.Struct, kw_only=True):
    """One trace."""

    trace_id: str
    began_at: str
    took_ms: float
    outcome: str
    complete: bool
    missing: list[str]
    cut: int
    spans: list[Step]


class Summary(msgspec.Struct, kw_only=True):
    """One of the kept traces."""

    trace_id: str
    began_at: str
    took_ms: float
    outcome: str
    code: str | None
    name: str
    service: str


class Summaries(msgspec.Struct, kw_only=True):
    """The kept traces."""

    items: list[Summary]


@click.command()
@click.argument("trace_id", required=False)
@click.option("--tenant", help="List the traces of this organisation (on the host).")
@click.option(
    "--limit", type=click.IntRange(1, 500), default=20, show_default=True, help="How many to list."
)
@click.option(
    "--slower-than",
    "least_ms",
    type=click.IntRange(0, 86_400_000),
    default=0,
    metavar="MS",
    help="List only requests that took as long or longer.",
)
@json_option
@person_option
@click.pass_context
def trace(
    ctx: click.Context,
    *,
    trace_id: str | None,
    tenant: str | None,
    limit: int,
    least_ms: int,
    as_json: bool,
    person: str | None,
    home: Path,
) -> None:
    """Show what a request took, step by step, and what was logged about it.

    Without a TRACE_ID, list the traces that are kept: failed requests first, then refused ones,
    then slow ones and a sample. Exit code 1 where nothing is known of the trace.
    """
    if trace_id is None:
        query = {"limit": str(limit), "least_ms": str(least_ms)}
        _list(home, person, query | ({"tenant": tenant} if tenant else {}), as_json=as_json)
        return
    wanted = trace_id.strip().lower()
    found, reason = _look_up(home, person, wanted)
    logged = lines_about(home, wanted) if person is None else []
    if as_json:
        show_json({"trace": found, "logs": logged})
    else:
        _show(found, logged)
    if reason is not None:
        show_error(reason, as_json=as_json)
    ctx.exit(exit_code_of(reason) if reason is not None and not logged else 0)


def _list(home: Path, person: str | None, query: dict[str, str], *, as_json: bool) -> None:
    if person is None:
        found = Host(home).get(HOST_PATH, Summaries, peer=DATABASE, **query).items
    else:
        found = web_for(home, person).get(API, Summaries, **query).items
    if as_json:
        show_json(found)
        return
    rows = [
        (
            each.began_at[:19].replace("T", " "), f"{each.took_ms:.1f} ms", each.outcome,
            each.code, printable(each.name), each.service, each.trace_id,
        )
        for each in found
    ]  # fmt: skip
    show_table(("when", "took", "outcome", "code", "what", "began in", "trace"), rows)


def _look_up(
    home: Path, person: str | None, trace_id: str
) -> tuple[Trace | None, AitradingError | None]:
    """The kept trace, or why there is none to show; log files are there without a platform."""
    try:
        if person is None:
            return Host(home).get(f"{HOST_PATH}/{trace_id}", Trace, peer=DATABASE), None
        return web_for(home, person).get(f"{API}/{trace_id}", Trace), None
    except AitradingError as refusal:
        if refusal.spec.category is Category.DENIED and refusal.code in {
            "TRACE_NOT_KEPT",
            "NOT_FOUND",
        }:
            return None, TRACE_NOT_FOUND.error(trace_id=printable(trace_id[:64]))
        return None, refusal


def _show(found: Trace | None, logged: list[dict[str, Any]]) -> None:
    if found is not None:
        click.echo("\n".join(waterfall(found, shutil.get_terminal_size().columns)))
    if logged:
        if found is not None:
            click.echo("")
        lines = Lines("DEBUG", as_json=False)
        for entry in logged:
            lines.show(entry)


def waterfall(trace: Trace, columns: int) -> list[str]:
    """One line a step: when it was, how long, what, and how it ended."""
    bar = max(LEAST_BAR, min(MOST_BAR, columns - BESIDE_BAR))
    head = f"{trace.began_at[:23].replace('T', ' ')}Z  {trace.took_ms:.1f} ms  {trace.outcome}"
    lines = [click.style(head, bold=True)]
    for step in trace.spans:
        indent = "  " * min(step.depth, 10)
        name = printable(f"{indent}{step.name}")
        name = name if len(name) <= NAME_CHARS else f"{name[: NAME_CHARS - 1]}…"
        ended = "" if step.outcome == "ok" else f"  {step.outcome} {step.code or ''}".rstrip()
        if step.fingerprint:
            ended += f"  aitrading errors lookup --similar {step.fingerprint}"
        if step.orphan:
            ended += "  (what called it is missing)"
        lines.append(
            f"{_bar(step, trace.took_ms, bar)} {step.took_ms:>9.2f} ms  "
            f"{name:<{NAME_CHARS}}  {step.service}"
            + click.style(printable(ended), fg=_COLOURS.get(step.outcome))
        )
    if not trace.complete:
        lines.append(_what_is_missing(trace))
    return lines


def _what_is_missing(trace: Trace) -> str:
    told = [f"{len(trace.missing)} steps that others name did not come"] if trace.missing else []
    told += [f"{trace.cut} steps beyond the limit were not kept"] if trace.cut else []
    return click.style(f"Incomplete: {'; '.join(told)}.", fg="yellow")


def _bar(step: Step, total_ms: float, width: int) -> str:
    """Where the step lies in the whole; at least one mark, never outside."""
    scale = width / total_ms if total_ms > 0 else 0.0
    begin = max(0, min(width - 1, int(step.offset_ms * scale)))
    length = max(1, min(width - begin, round(step.took_ms * scale)))
    return "·" * begin + "█" * length + "·" * (width - begin - length)
