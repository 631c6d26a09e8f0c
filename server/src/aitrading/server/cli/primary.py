"""`aitrading primary`: which primary of a PostgreSQL given by URL was the newest seen."""

from pathlib import Path
from typing import Final

import click

from aitrading.core.kit.clock import SystemClock
from aitrading.server.cli.home_option import home_option
from aitrading.server.cli.output import json_option, show_json
from aitrading.server.kit.primary_record import PrimaryRecord, Standing
from aitrading.server.supervisor.home import Home

TIMELINE_MAX: Final = 2**31 - 1
CLUSTER_MAX: Final = 2**63 - 1


@click.group()
def primary() -> None:
    """The newest primary that services have met; an older one is refused."""


@primary.command()
@json_option
@home_option
def show(*, as_json: bool, home: Path) -> None:
    """Tell the cluster and the timeline; nothing is known before the first start with a URL."""
    known = PrimaryRecord(Home(home).primary_record).known()
    if as_json:
        show_json({"known": _shown(known)})
    elif known is None:
        click.echo("No primary was met yet.", err=True)
    else:
        click.echo(_sentence(known))


@primary.command()
@click.argument("cluster", type=click.IntRange(1, CLUSTER_MAX))
@click.argument("timeline", type=click.IntRange(1, TIMELINE_MAX))
@json_option
@home_option
def accept(*, cluster: int, timeline: int, as_json: bool, home: Path) -> None:
    """Count from this primary on, after PostgreSQL was restored on purpose.

    CLUSTER and TIMELINE are in the message of DATABASE_PRIMARY_OUTDATED or
    DATABASE_CLUSTER_FOREIGN. The platform must be stopped. What was written after that state is
    given up by it.
    """
    place, wanted = Home(home), Standing(cluster=cluster, timeline=timeline)
    place.create()
    with place.lock(SystemClock()):
        before = PrimaryRecord(place.primary_record).replace(wanted)
    if as_json:
        show_json({"known": _shown(wanted), "before": _shown(before)})
    else:
        click.echo(_sentence(wanted))
        if before is not None:
            click.echo(f"It was: {_sentence(before)}", err=True)


def _shown(standing: Standing | None) -> dict[str, str | int] | None:
    """A cluster's number has more digits than some readers of JSON keep, so it is a text."""
    if standing is None:
        return None
    return {"cluster": str(standing.cluster), "timeline": standing.timeline}


def _sentence(standing: Standing) -> str:
    return f"cluster {standing.cluster}, timeline {standing.timeline}"
