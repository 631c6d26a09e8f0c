"""`aitrading down`: end the platform of a home in order."""

import sys
import time
from pathlib import Path

import click
import msgspec

from aitrading.core.kit.errors import AitradingError
from aitrading.server.cli.home_option import home_option
from aitrading.server.cli.output import UNAVAILABLE, show_error
from aitrading.server.supervisor.admin_client import AdminClient
from aitrading.server.supervisor.home import Home

POLL_S = 0.02
STOP_TIMEOUT_S = 60.0


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@home_option
def down(*, as_json: bool, home: Path) -> None:
    """Stop the platform and wait until its last process has ended."""
    place = Home(home)
    holder = place.holder()
    began = time.monotonic()
    try:
        AdminClient(place).request("stop", type(None))
    except AitradingError as exc:
        if as_json:
            _answer(as_json, stopped=False, text=exc.message, took_s=0.0)
        else:
            show_error(exc, as_json=False)
        sys.exit(UNAVAILABLE)
    while holder is not None and holder.process.alive:
        if time.monotonic() - began > STOP_TIMEOUT_S:
            text = f"It still runs after {STOP_TIMEOUT_S:.0f} s; see {place.logs}."
            _answer(as_json, stopped=False, text=text, took_s=STOP_TIMEOUT_S)
            sys.exit(1)
        time.sleep(POLL_S)
    took_s = time.monotonic() - began
    _answer(as_json, stopped=True, text=f"Stopped in {took_s:.2f} s.", took_s=took_s)


def _answer(as_json: bool, *, stopped: bool, text: str, took_s: float) -> None:
    if as_json:
        answer = {"stopped": stopped, "message": text, "took_s": round(took_s, 3)}
        click.echo(msgspec.json.encode(answer).decode())
    else:
        click.echo(text, err=True)
