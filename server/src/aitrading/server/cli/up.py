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
from aitrading.server.supervisor.detach import leave_terminal, run_detached
from aitrading.server.supervisor.home import Home
from aitrading.server.supervisor.progress import LineReporter
from aitrading.server.supervisor.state import PlatformState
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
        sys.exit(_run(options, lambda state: _announce(state, as_json=as_json)))
    code, report = run_detached(lambda ready: _run(options, _handing_over(options, ready)))
    if report:
        _announce(msgspec.json.decode(report, type=PlatformState), as_json=as_json)
    sys.exit(code)


def _run(options: UpOptions, on_ready: Callable[[PlatformState], None]) -> int:
    clock, randomness = SystemClock(), SystemRandomness()
    kit = Kit(clock=clock, randomness=randomness, ids=SystemIdFactory(clock, randomness))
    reporter = LineReporter()
    ready = False

    def note_ready(state: PlatformState) -> None:
        nonlocal ready
        ready = True
        on_ready(state)

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
) -> Callable[[PlatformState], None]:
    def hand_over(state: PlatformState) -> None:
        ready(msgspec.json.encode(state))
        leave_terminal(Home(options.home).logs)

    return hand_over


def _announce(state: PlatformState, *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(state)).decode())
        return
    click.echo(f"{state.url}  ready in {state.started_in_s:.2f} s")
    click.echo(f"certificate authority  SHA256 {state.ca_fingerprint}")


def _parse(settings: tuple[str, ...]) -> dict[str, str]:
    parsed: dict[str, str] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or "." not in name:
            raise click.BadParameter(f"{setting!r} is not SECTION.FIELD=VALUE", param_hint="--set")
        parsed[name] = value
    return parsed


if __name__ == "__main__":
    up()
