"""`aitrading doctor`: find what keeps the platform from working, and say what to do."""

import asyncio
import sys
from pathlib import Path

import click

from aitrading.core.kit.clock import SystemClock
from aitrading.server.cli.home_option import home_option
from aitrading.server.cli.output import ANSWER_IS_NO, json_option, show_json, show_table
from aitrading.server.kit.examination_api import STEPS, StepTaken, StoreExamination
from aitrading.server.supervisor.doctor.audit import check_audit
from aitrading.server.supervisor.doctor.backups import check_backups
from aitrading.server.supervisor.doctor.chains import check_chains
from aitrading.server.supervisor.doctor.edge import check_edge
from aitrading.server.supervisor.doctor.finding import Finding, Verdict
from aitrading.server.supervisor.doctor.installation import check_installation
from aitrading.server.supervisor.doctor.machine import check_machine
from aitrading.server.supervisor.doctor.running import check_running
from aitrading.server.supervisor.home import Home

_MARKS = {Verdict.OK: "ok", Verdict.PROBLEM: "PROBLEM", Verdict.UNVERIFIED: "unverified"}
_COLOURS = {Verdict.OK: "green", Verdict.PROBLEM: "red", Verdict.UNVERIFIED: "yellow"}


@click.command()
@click.option("--databases", is_flag=True, help="Log in to every store and examine it too.")
@json_option
@home_option
def doctor(*, databases: bool, as_json: bool, home: Path) -> None:
    """Examine machine, home and platform; exit code 1 when there is a problem."""
    findings = _examine(Home(home), databases=databases)
    stores: list[StoreExamination] = []
    if databases:
        from aitrading.server.supervisor.doctor.stores import examine_stores  # noqa: PLC0415 - rare

        stores, told = examine_stores(Home(home))
        findings.extend(told)
    problems = sum(finding.verdict is Verdict.PROBLEM for finding in findings)
    if as_json:
        answer = {"ok": not problems, "findings": findings}
        show_json({**answer, "stores": stores} if databases else answer)
    else:
        for finding in findings:
            _show(finding)
        if stores:
            show_table(("STORE", "ANSWERS", *STEPS), map(_row, stores))
        click.echo(_summary(findings), err=True)
    sys.exit(ANSWER_IS_NO if problems else 0)


def _examine(place: Home, *, databases: bool) -> list[Finding]:
    clock = SystemClock()
    findings = [
        *check_machine(place, clock),
        *check_installation(place, clock),
        *check_running(place),
        *check_edge(place),
        *check_chains(place),
        *check_backups(place),
        *check_audit(place),
    ]
    if databases:
        from aitrading.server.supervisor.doctor.databases import check_databases  # noqa: PLC0415 - heavy

        findings.extend(asyncio.run(check_databases(place, clock)))
    return findings


def _show(finding: Finding) -> None:
    mark = click.style(f"{_MARKS[finding.verdict]:<10}", fg=_COLOURS[finding.verdict])
    click.echo(f"{mark}  {finding.check:<28} {finding.finding}")
    if finding.cause:
        click.echo(f"{'':<12}{'cause':<29}{finding.cause}")
    if finding.remedy:
        click.echo(f"{'':<12}{'remedy':<29}{finding.remedy}")


def _row(examined: StoreExamination) -> tuple[str, ...]:
    """One store; a step is its milliseconds, FAILED, or - where it was not or need not be tried."""
    name = examined.adapter if examined.verified else f"{examined.adapter} (UNVERIFIED)"
    return examined.store, name, *(_cell(step) for step in examined.steps)


def _cell(step: StepTaken) -> str:
    if step.state == "ok":
        return f"{step.took_ms:.2f} ms"
    return "FAILED" if step.state == "failed" else "-"


def _summary(findings: list[Finding]) -> str:
    counts = {
        verdict: sum(finding.verdict is verdict for finding in findings) for verdict in Verdict
    }
    return (
        f"{counts[Verdict.OK]} ok, {counts[Verdict.PROBLEM]} problems, "
        f"{counts[Verdict.UNVERIFIED]} unverified"
    )
