"""`aitrading metrics`: what the metrics of every service and engine were."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import click
import msgspec
from typing_extensions import override

from aitrading.core.kit.clock import NS_PER_S, SystemClock
from aitrading.server.cli.home_option import home_option
from aitrading.server.cli.host import Host
from aitrading.server.cli.output import json_option, printable, show_json, show_table
from aitrading.server.cli.sparkline import sparkline

DATABASE: Final = "database-service"
_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_DURATION: Final = re.compile(r"([1-9][0-9]{0,7})([smhdw])", re.ASCII)
_COLUMNS: Final = {
    "counter": ("increase", "per_second"),
    "gauge": ("lowest", "average", "highest", "last"),
    "histogram": ("count", "per_second", "average"),
}
_DRAWN: Final = {"counter": "per_second", "gauge": "average", "histogram": "per_second"}


class Duration(click.ParamType[int]):
    """A length of time in seconds: `90s`, `15m`, `1h`, `7d`, `2w`."""

    name = "duration"

    @override
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Refuse everything else as a mistake in usage."""
        found = _DURATION.fullmatch(str(value))
        if found is None:
            self.fail(f"{value!r} is not a length of time like 90s, 15m, 1h, 7d or 2w", param, ctx)
        return int(found[1]) * _UNITS[found[2]]


class Kept(msgspec.Struct):
    """One metric of one service."""

    service: str
    name: str
    kind: str
    series: int
    labels: list[str]
    last_seen_on: str


class Names(msgspec.Struct):
    """Every metric."""

    items: list[Kept]


class Step(msgspec.Struct, omit_defaults=True):
    """One step; what does not belong to the kind is not there."""

    begins: str
    seen: float = 1.0
    gap: bool = False
    increase: float | None = None
    per_second: float | None = None
    lowest: float | None = None
    highest: float | None = None
    average: float | None = None
    last: float | None = None
    count: float | None = None
    quantiles: dict[str, float] | None = None


class Series(msgspec.Struct):
    """One series."""

    service: str
    labels: dict[str, str]
    steps: list[Step]
    whole: Step | None = None


class History(msgspec.Struct):
    """How a metric was."""

    name: str
    kind: str
    begins: str
    ends: str
    step_s: int
    resolution: str
    series: list[Series]


@click.group()
def metrics() -> None:
    """What the metrics of every service and engine were, and where nobody knows."""


@metrics.command("list")
@click.option("--service", help="Only of this service.")
@json_option
@home_option
def list_names(*, service: str | None, as_json: bool, home: Path) -> None:
    """List every metric that was seen, by service."""
    query = {"service": service} if service else {}
    found = Host(home).get("metrics", Names, peer=DATABASE, **query).items
    if as_json:
        show_json(found)
        return
    rows = [
        (each.service, each.name, each.kind, each.series, ", ".join(each.labels)) for each in found
    ]
    show_table(("SERVICE", "METRIC", "KIND", "SERIES", "LABELS"), rows)


@metrics.command()
@click.argument("name")
@click.option("--service", help="Only of this service.")
@click.option("--labels", help="Only with these labels: route:/api/v1/ticks,status:5xx.")
@click.option(
    "--since", type=Duration(), default="1h", show_default=True, help="How far back: 15m, 1h, 7d."
)
@click.option("--step", type=Duration(), help="Length of a step; chosen when left out.")
@click.option("--quantiles", help="Of a distribution: 0.5,0.99.")
@click.option("--steps", "every_step", is_flag=True, help="Show every step, not only the whole.")
@json_option
@home_option
def show(
    *,
    name: str,
    since: int,
    step: int | None,
    every_step: bool,
    as_json: bool,
    home: Path,
    **chosen: str | None,
) -> None:
    """Show how the metric NAME was; `·` in a line is a gap: nobody knows."""
    begins = datetime.fromtimestamp(SystemClock().now_ns() // NS_PER_S, UTC)
    query = {"name": name, "from": (begins - timedelta(seconds=since)).isoformat()}
    query |= {key: value for key, value in chosen.items() if value}
    if step is not None:
        query["step"] = str(step)
    history = Host(home).get("metrics/history", History, peer=DATABASE, **query)
    if as_json:
        show_json(history)
        return
    if every_step:
        _show_steps(history)
    else:
        _show_whole(history)
    click.echo(
        f"{history.kind}, steps of {history.step_s} s made of {history.resolution}, "
        f"{history.begins} to {history.ends}",
        err=True,
    )


def _show_whole(history: History) -> None:
    columns = _COLUMNS[history.kind]
    shares = _shares(history)
    headings = ("SERVICE", "LABELS", *(each.upper() for each in columns), *shares, "SEEN", "")
    show_table(
        headings,
        [
            (
                each.service,
                _labels(each),
                *_cells(each.whole, columns, shares),
                f"{each.whole.seen:.0%}" if each.whole else "never",
                _drawn(history.kind, each),
            )
            for each in history.series
        ],
    )


def _show_steps(history: History) -> None:
    columns = _COLUMNS[history.kind]
    shares = _shares(history)
    show_table(
        ("BEGINS", "SERVICE", "LABELS", *(each.upper() for each in columns), *shares, "SEEN"),
        [
            (
                step.begins[:19] + "Z",
                each.service,
                _labels(each),
                *_cells(step, columns, shares),
                "gap" if step.gap else f"{step.seen:.0%}",
            )
            for each in history.series
            for step in each.steps
        ],
    )


def _cells(step: Step | None, columns: tuple[str, ...], shares: list[str]) -> list[str]:
    values = [getattr(step, column) if step else None for column in columns]
    quantiles = (step.quantiles if step else None) or {}
    values += [quantiles.get(share.removeprefix("P")) for share in shares]
    return ["" if value is None else f"{value:.6g}" for value in values]


def _shares(history: History) -> list[str]:
    """The quantiles of a distribution as headings: P0.5, P0.99."""
    found = {share for each in history.series for share in (_quantiles(each.whole))}
    return [f"P{share}" for share in sorted(found)]


def _quantiles(step: Step | None) -> dict[str, float]:
    return (step.quantiles if step else None) or {}


def _labels(series: Series) -> str:
    return printable(",".join(f"{name}:{value}" for name, value in series.labels.items()))


def _drawn(kind: str, series: Series) -> str:
    values = [None if step.gap else (getattr(step, _DRAWN[kind]) or 0.0) for step in series.steps]
    return sparkline(values, from_zero=kind != "gauge")
