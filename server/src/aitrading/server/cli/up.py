"""`aitrading up`: start the platform and stay with it, or come back when it is ready.

This module imports next to nothing: the nursery, which loads for longest, is started before
everything else.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import click

from aitrading.server.cli.home_option import home_option
from aitrading.server.cli.up_ends import INTERRUPTED, UNAVAILABLE
from aitrading.server.supervisor.detach import run_detached
from aitrading.server.supervisor.nursery_process import NurseryProcess, nursery_wanted


@click.command()
@click.option("--demo", is_flag=True, help="Add two demo tenants and a simulated terminal.")
@click.option("--detach", is_flag=True, help="Come back when it is ready; it runs on.")
@click.option("--set", "settings", multiple=True, metavar="SECTION.FIELD=VALUE", help="A setting.")
@click.option("--json", "as_json", is_flag=True, help="Print the state as JSON once it is ready.")
@home_option
def up(*, demo: bool, detach: bool, settings: tuple[str, ...], as_json: bool, home: Path) -> None:
    """Start engines and services and watch over them until Ctrl-C."""
    chosen = _parse(settings)

    def run(report_to: Callable[[bytes], None] | None) -> int:
        nursery = NurseryProcess(os.environ) if nursery_wanted(os.environ) else None
        from aitrading.server.cli.up_run import UpRun  # noqa: PLC0415 - while the nursery loads

        try:
            return UpRun(home=home, demo=demo, settings=chosen, nursery=nursery).run(
                as_json=as_json, report_to=report_to
            )
        finally:
            if nursery is not None:
                nursery.close()

    if not detach:
        try:
            sys.exit(run(None))
        except KeyboardInterrupt:  # before the platform listens to signals itself
            click.echo(INTERRUPTED, err=True)
            sys.exit(UNAVAILABLE)
    code, report = run_detached(run)
    if report:
        from aitrading.server.cli.up_run import announce  # noqa: PLC0415 - only to detach

        announce(report, as_json=as_json)
    sys.exit(code)


def _parse(settings: tuple[str, ...]) -> dict[str, str]:
    parsed: dict[str, str] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or "." not in name:
            raise click.BadParameter(f"{setting!r} is not SECTION.FIELD=VALUE", param_hint="--set")
        parsed[name] = value
    return parsed
