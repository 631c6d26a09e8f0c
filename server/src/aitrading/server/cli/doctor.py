"""`aitrading doctor`: find what keeps the platform from working, and say what to do."""

import sys
from pathlib import Path

import click
import msgspec

from aitrading.core.kit.clock import SystemClock
from aitrading.server.cli.home_option import home_option
from aitrading.server.supervisor.doctor.finding import Finding, Verdict
from aitrading.server.supervisor.doctor.installation import check_installation
from aitrading.server.supervisor.doctor.machine import check_machine
from aitrading.server.supervisor.doctor.running import check_running
from aitrading.server.supervisor.home import Home

_MARKS = {Verdict.OK: "ok", Verdict.PROBLEM: "PROBLEM", Verdict.UNVERIFIED: "unverified"}
_COLOURS = {Verdict.OK: "green", Verdict.PROBLEM: "red", Verdict.UNVERIFIED: "yellow"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@home_option
def doctor(*, as_json: bool, home: Path) -> None:
    """Examine machine, home and platform; exit code 1 when there is a problem."""
    place, clock = Home(home), SystemClock()
    findings = [
        *check_machine(place, clock),
        *check_installation(place, clock),
        *check_running(place),
    ]
    problems = sum(finding.verdict is Verdict.PROBLEM for finding in findings)
    if as_json:
        answer = {"ok": not problems, "findings": findings}
        click.echo(msgspec.json.format(msgspec.json.encode(answer)).decode())
    else:
        for finding in findings:
            _show(finding)
        click.echo(_summary(findings), err=True)
    sys.exit(1 if problems else 0)


def _show(finding: Finding) -> None:
    mark = click.style(f"{_MARKS[finding.verdict]:<10}", fg=_COLOURS[finding.verdict])
    click.echo(f"{mark}  {finding.check:<28} {finding.finding}")
    if finding.cause:
        click.echo(f"{'':<12}{'cause':<29}{finding.cause}")
    if finding.remedy:
        click.echo(f"{'':<12}{'remedy':<29}{finding.remedy}")


def _summary(findings: list[Finding]) -> str:
    counts = {
        verdict: sum(finding.verdict is verdict for finding in findings) for verdict in Verdict
    }
    return (
        f"{counts[Verdict.OK]} ok, {counts[Verdict.PROBLEM]} problems, "
        f"{counts[Verdict.UNVERIFIED]} unverified"
    )
