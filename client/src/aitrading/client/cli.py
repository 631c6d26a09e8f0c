"""`aitrading-client`: enroll, run, status, doctor, symbols, credentials, uninstall, sim, bench.

Data goes to standard output, everything else to standard error. Exit codes: 0 done, 1 the answer
is no, 2 wrong usage, 3 not available.
"""

import asyncio
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from aitrading.client.bench_commands import bench
from aitrading.client.command_line import EXIT_NO, home_option, json_option, show, told
from aitrading.client.credential_commands import credentials
from aitrading.client.errors import CLIENT_NOT_RUNNING
from aitrading.client.findings import Verdict
from aitrading.client.held_back import held_finding
from aitrading.client.security.device_files import DeviceFiles
from aitrading.client.security.enrolment import enrol, parse_server
from aitrading.client.sim_commands import sim
from aitrading.client.status import client_status, client_symbols
from aitrading.core.kit.clock import SystemClock, rfc3339_of_ns


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="aitrading-client")
def main() -> None:
    """Run beside a terminal: send its ticks, receive its signals."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a pipe of Windows knows few characters
            stream.reconfigure(errors="replace")


main.add_command(sim)
main.add_command(bench)


@main.command()
@click.argument("code")
@click.option(
    "--server", default="", help="For example https://localhost:8000; otherwise `backend.url`."
)
@click.option("--replace", is_flag=True, help="Give up the identity this home has.")
@home_option
@json_option
@told
def enroll(code: str, server: str, home: Path, *, replace: bool, as_json: bool) -> None:
    """Become a device of a server, with the one-time CODE from its administrator."""
    home = home.expanduser()
    files = DeviceFiles(home)
    if files.is_enrolled and not replace:
        click.echo(f"{home} is enrolled already; --replace gives that identity up.", err=True)
        sys.exit(EXIT_NO)
    record = enrol(files, code, parse_server(server or _configured_server(home)))
    ends = rfc3339_of_ns(files.certificate().validity.not_after_ns)
    answer = {
        "device": str(record.device),
        "tenant": str(record.tenant),
        "server": record.server.url,
        "certificate_ends": ends,
    }
    show(answer, as_json=as_json)
    click.echo("Enrolled. Start it: aitrading-client run", err=True)


def _configured_server(home: Path) -> str:
    """`backend.url`, as BACKEND_URL or the home's file say it."""
    from aitrading.client.security.backend_settings import BackendSettings  # noqa: PLC0415 - see `run`
    from aitrading.client.service import load_config  # noqa: PLC0415 - see `run`

    url = load_config(home, os.environ).get(BackendSettings).url
    if not url:
        raise click.MissingParameter(param_hint="'--server'", param_type="option")
    return url


terminal_option = click.option(
    "--terminal",
    type=click.Choice(["sim", "mt5"]),
    default="mt5",
    show_default=True,
    help="The simulated terminal, or MetaTrader 5 on this machine.",
)


@main.command()
@terminal_option
@home_option
@told
def run(terminal: str, home: Path) -> None:
    """Run in the foreground until SIGTERM or Ctrl-C."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # threads that exist are not confined
    from aitrading.client.service import serve  # noqa: PLC0415 - the other commands start faster
    from aitrading.client.terminal.select import TerminalKind  # noqa: PLC0415 - see above

    runner = _fast_runner()
    runner(serve(home.expanduser(), TerminalKind(terminal), os.environ))


@main.command()
@home_option
@json_option
@told
def status(home: Path, *, as_json: bool) -> None:
    """What the running client does; exit code 3 when none runs, 1 when it is not ready."""
    home = home.expanduser()
    report = client_status(home, DeviceFiles(home).load())
    if report is None:
        raise CLIENT_NOT_RUNNING.error(home=str(home))
    if as_json:
        show(report, as_json=True)
    else:
        _print_status(report)
    sys.exit(0 if report["ready"] else EXIT_NO)


@main.command()
@terminal_option
@home_option
@json_option
@told
def doctor(terminal: str, home: Path, *, as_json: bool) -> None:
    """Look for what keeps the client from working; exit code 1 when something does.

    The terminal is asked through the running client. Without one a worker connects to it for a
    moment, which may start it.
    """
    from aitrading.client.doctor import examine  # noqa: PLC0415 - see `run`
    from aitrading.client.terminal.select import TerminalKind  # noqa: PLC0415 - see `run`

    findings = examine(home.expanduser(), SystemClock(), TerminalKind(terminal), os.environ)
    if as_json:
        show([finding.as_dict() for finding in findings], as_json=True)
    else:
        for finding in findings:
            click.echo(f"{finding.verdict:<10} {finding.what}: {finding.found}")
            if finding.remedy:
                click.echo(f"{'':<10} → {finding.remedy}")
    sys.exit(EXIT_NO if any(one.verdict is Verdict.BROKEN for one in findings) else 0)


@main.command()
@home_option
@json_option
@told
def symbols(home: Path, *, as_json: bool) -> None:
    """What the broker calls its symbols, and what may be traded; exit code 3 without a client."""
    home = home.expanduser()
    listed = client_symbols(home, DeviceFiles(home).load())
    if listed is None:
        raise CLIENT_NOT_RUNNING.error(home=str(home))
    if as_json:
        show(listed, as_json=True)
        return
    for one in listed:
        mark = "*" if one["is_collected"] else " "
        click.echo(
            f"{mark} {one['name']:<16} {one['digits']} digits, {one['volume_min']:g} to "
            f"{one['volume_max']:g} by {one['volume_step']:g}  {one['description']}"
        )
    click.echo("* collected", err=True)


main.add_command(credentials)


@main.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@home_option
@json_option
@told
def uninstall(*, yes: bool, home: Path, as_json: bool) -> None:
    """Destroy stored login, keys, unsent ticks and settings of this client, then remove the program.

    The server destroys its share of the login if it answers. The package itself goes with what
    installed it: `pip uninstall aitrading-client aitrading-core`, or the per-user installer. What
    somebody else put into the client's home stays, and is named.
    """
    from aitrading.client.uninstall import uninstall as remove  # noqa: PLC0415 - see `run`

    home = home.expanduser()
    if not yes:
        click.confirm(f"Destroy what the client keeps in {home}?", abort=True, err=True)
    gone = remove(home)
    show(
        {"files": gone.files, "server_told": gone.server_told, "why": gone.why, "left": gone.left},
        as_json=as_json,
    )
    if gone.left:
        click.echo(f"Not of the client, still in {home}: {', '.join(gone.left)}", err=True)
    if not gone.server_told:
        click.echo(
            "The server was not told: let its administrator revoke the device "
            "(`aitrading device revoke`).",
            err=True,
        )


def _fast_runner() -> Callable[..., Any]:
    """Uvloop where it exists."""
    if sys.platform == "win32":
        return asyncio.run
    import uvloop  # noqa: PLC0415 - not on every system

    return uvloop.run


def _print_status(report: dict[str, Any]) -> None:
    click.echo(f"{'state':<18} {report['state']}")
    for name, component in report["components"].items():
        fields = ", ".join(
            f"{key} {value}"
            for key, value in component["fields"].items()
            if value not in (None, "")
        )
        click.echo(f"{name:<18} {component['state']:<10} {fields}")
    if (held := held_finding(report)) is not None:
        click.echo(f"{held.what:<18} {held.found}\n{'':<18} → {held.remedy}")
