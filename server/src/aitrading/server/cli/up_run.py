"""What `aitrading up` does once it has been told everything."""

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import click
import msgspec

from aitrading.core.kit.clock import NS_PER_S, SystemClock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import SystemIdFactory
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.server.cli.up_ends import INTERRUPTED, UNAVAILABLE
from aitrading.server.engines.proc import age_s
from aitrading.server.supervisor.assembly import Kit
from aitrading.server.supervisor.demo.report import DemoReport
from aitrading.server.supervisor.detach import leave_terminal
from aitrading.server.supervisor.home import Home
from aitrading.server.supervisor.nursery_process import NurseryProcess
from aitrading.server.supervisor.progress import LineReporter
from aitrading.server.supervisor.state import ReadyReport
from aitrading.server.supervisor.up import Platform, UpOptions


@dataclass(frozen=True, kw_only=True)
class UpRun:
    """One `aitrading up`, from the first check to the last process."""

    home: Path
    demo: bool
    settings: Mapping[str, str]
    nursery: NurseryProcess | None

    def run(self, *, as_json: bool, report_to: Callable[[bytes], None] | None) -> int:
        """Stay until it is over; returns the exit code.

        Detached, the report goes to `report_to`, and what is said later into a log.
        """
        reporter = LineReporter()
        was_ready = False

        def on_ready(report: ReadyReport) -> None:
            nonlocal was_ready
            was_ready = True
            encoded = msgspec.json.encode(report)
            if report_to is None:
                announce(encoded, as_json=as_json)
            else:
                report_to(encoded)
                leave_terminal(Home(self.home).logs)

        try:
            asyncio.run(self._platform(reporter).run(on_ready))
        except AitradingError as exc:
            reporter.say(f"aitrading cannot start: {exc.message}")
            reporter.say(f"  Why: {exc.spec.why}\n  Remedy: {exc.spec.remedy}\n  Code: {exc.code}")
            return UNAVAILABLE
        except Exception as exc:  # noqa: BLE001 - a person gets a sentence, the log gets the traceback
            reporter.say(f"aitrading failed unexpectedly ({type(exc).__name__}: {exc}).")
            reporter.say(f"  Everything it started was ended. Details: {self.home}/logs")
            return UNAVAILABLE
        reporter.say("aitrading has stopped." if was_ready else INTERRUPTED)
        return 0 if was_ready else UNAVAILABLE

    def _platform(self, reporter: LineReporter) -> Platform:
        clock, randomness = SystemClock(), SystemRandomness()
        options = UpOptions(
            home=self.home,
            demo=self.demo,
            settings=self.settings,
            began_ns=clock.monotonic_ns() - round(age_s(os.getpid()) * NS_PER_S),
        )
        kit = Kit(clock=clock, randomness=randomness, ids=SystemIdFactory(clock, randomness))
        return Platform(options, kit, reporter, nursery=self.nursery)


def announce(encoded: bytes, *, as_json: bool) -> None:
    """Tell on stdout where the platform is and how to get in."""
    if as_json:
        click.echo(msgspec.json.format(encoded).decode())
        return
    report = msgspec.json.decode(encoded, type=ReadyReport)
    state = report.state
    click.echo(f"\n  {state.url}  ready in {state.started_in_s:.2f} s")
    click.echo(f"  certificate authority  SHA256 {state.ca_fingerprint}")
    if report.demo is not None:
        _announce_demo(report.demo, state.url or "")


def _announce_demo(demo: DemoReport, url: str) -> None:
    if demo.logins:
        until = min(login.password_ends_at for login in demo.logins)
        click.echo(
            "\n  Logins of the demo, shown only this once; set passwords of your own before"
        )
        click.echo(f"  {until:%Y-%m-%d %H:%M} UTC, when these end:")
    for login in demo.logins:
        click.echo(f"    {login.tenant:<7} {login.user:<9} {login.password}")
    click.echo(f"\n  Open the page logged in (works once, {demo.link_lifetime_s // 60} minutes):")
    click.echo(f"    {url}/login#link={demo.link_code}")
    click.echo("  Then click your name there and set up a second factor: owners should have one.")
