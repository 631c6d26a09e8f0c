"""`aitrading up`: start the platform and stay with it, or come back when it is ready."""

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

import click
import msgspec

from aitrading.core.kit.clock import NS_PER_S, SystemClock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import SystemIdFactory
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.server.cli.home_option import home_option
from aitrading.server.engines.proc import age_s
from aitrading.server.supervisor.assembly import Kit
from aitrading.server.supervisor.demo.report import DemoReport
from aitrading.server.supervisor.detach import leave_terminal, run_detached
from aitrading.server.supervisor.home import Home
from aitrading.server.supervisor.progress import LineReporter
from aitrading.server.supervisor.state import ReadyReport
from aitrading.server.supervisor.up import Platform, UpOptions

UNAVAILABLE = 3


@click.command()
@click.option("--demo", is_flag=True, help="Add two demo tenants and a simulated terminal.")
@click.option("--detach", is_flag=True, help="Come back when it is ready; it runs on.")
@click.option("--set", "settings", multiple=True, metavar="SECTION.FIELD=VALUE", help="A setting.")
@click.option("--json", "as_json", is_flag=True, help="Print the state as JSON once it is ready.")
@home_option
def up(*, demo: bool, detach: bool, settings: tuple[str, ...], as_json: bool, home: Path) -> None:
    """Start engines and services and watch over them until Ctrl-C."""
    clock = SystemClock()
    options = UpOptions(
        home=home,
        demo=demo,
        settings=_parse(settings),
        began_ns=clock.monotonic_ns() - round(age_s(os.getpid()) * NS_PER_S),
    )
    if not detach:
        sys.exit(_run(options, lambda report: _announce(report, as_json=as_json)))
    code, report = run_detached(lambda ready: _run(options, _handing_over(options, ready)))
    if report:
        _announce(msgspec.json.decode(report, type=ReadyReport), as_json=as_json)
    sys.exit(code)


def _run(options: UpOptions, on_ready: Callable[[ReadyReport], None]) -> int:
    clock, randomness = SystemClock(), SystemRandomness()
    kit = Kit(clock=clock, randomness=randomness, ids=SystemIdFactory(clock, randomness))
    reporter = LineReporter()
    ready = False

    def note_ready(report: ReadyReport) -> None:
        nonlocal ready
        ready = True
        on_ready(report)

    try:
        asyncio.run(Platform(options, kit, reporter).run(note_ready))
    except AitradingError as exc:
        reporter.say(f"aitrading cannot start: {exc.message}")
        reporter.say(f"  Why: {exc.spec.why}\n  Remedy: {exc.spec.remedy}\n  Code: {exc.code}")
        return UNAVAILABLE
    except Exception as exc:  # noqa: BLE001 - a person gets a sentence, the log gets the traceback
        reporter.say(f"aitrading failed unexpectedly ({type(exc).__name__}: {exc}).")
        reporter.say(f"  Everything it started was ended. Details: {options.home}/logs")
        return UNAVAILABLE
    reporter.say("aitrading has stopped." if ready else "The start was interrupted; all is ended.")
    return 0 if ready else UNAVAILABLE


def _handing_over(
    options: UpOptions, ready: Callable[[bytes], None]
) -> Callable[[ReadyReport], None]:
    def hand_over(report: ReadyReport) -> None:
        ready(msgspec.json.encode(report))
        leave_terminal(Home(options.home).logs)

    return hand_over


def _announce(report: ReadyReport, *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(report)).decode())
        return
    state = report.state
    click.echo(f"\n  {state.url}  ready in {state.started_in_s:.2f} s")
    click.echo(f"  certificate authority  SHA256 {state.ca_fingerprint}")
    if report.demo is not None:
        _announce_demo(report.demo, state.url or "")


def _announce_demo(demo: DemoReport, url: str) -> None:
    if demo.logins:
        click.echo("\n  Logins of the demo, shown only this once:")
    for login in demo.logins:
        click.echo(f"    {login.tenant:<7} {login.user:<9} {login.password}")
    click.echo(f"\n  Open the page logged in (works once, {demo.link_lifetime_s // 60} minutes):")
    click.echo(f"    {url}/login#link={demo.link_code}")


def _parse(settings: tuple[str, ...]) -> dict[str, str]:
    parsed: dict[str, str] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or "." not in name:
            raise click.BadParameter(f"{setting!r} is not SECTION.FIELD=VALUE", param_hint="--set")
        parsed[name] = value
    return parsed
