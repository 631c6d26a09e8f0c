"""Finds what keeps a client from working, with cause and remedy."""

import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from aitrading.client.findings import Finding, Verdict
from aitrading.client.held_back import held_finding, refused_findings, warning_finding
from aitrading.client.metatrader_connector.terminal_report import PATH as TERMINAL_PATH
from aitrading.client.metatrader_connector.terminal_report import TerminalReport
from aitrading.client.security.certificate_keeper import due_ns
from aitrading.client.security.clear_password import CONFIG_NAME, require_no_password
from aitrading.client.security.confinement import ConfinementSettings
from aitrading.client.security.device_files import DeviceFiles, DeviceRecord
from aitrading.client.security.installation import Installation
from aitrading.client.security.measures import Outcome
from aitrading.client.security.observations import observe
from aitrading.client.security.process_security import harden_a_child
from aitrading.client.security.registration import registration
from aitrading.client.security.server_api import ServerApi
from aitrading.client.security.trust import client_context, ssl_reason
from aitrading.client.service import load_config
from aitrading.client.status import asked, client_status
from aitrading.client.terminal.availability import FILE_NAME, read_availability
from aitrading.client.terminal.errors import TERMINAL_REPLACED
from aitrading.client.terminal.package import import_gives_twin, real_package_is_installed
from aitrading.client.terminal.select import TerminalKind
from aitrading.client.terminal_findings import clock_finding, terminal_findings
from aitrading.client.terminal_trial import try_terminal
from aitrading.core.kit.clock import NS_PER_S, Clock, datetime_of_ns, now_utc, rfc3339_of_ns
from aitrading.core.kit.errors import AitradingError
from aitrading.core.security.device_reports import AVAILABILITY_WANTED, FilesState

FREE_BYTES_WANTED: Final = 1024**3
PROBE_PATH: Final = "/api/v1/devices/trust"
LINK_PATH: Final = "/link"
TIMEOUT_S: Final = 5.0
TERMINAL_TIMEOUT_S: Final = 35.0
"""A terminal that does not answer keeps who asks waiting until its worker is given up."""


class _Anything(msgspec.Struct, frozen=True):
    """An answer whose content does not matter."""


def examine(
    home: Path, clock: Clock, kind: TerminalKind, environ: Mapping[str, str]
) -> list[Finding]:
    """Look at everything; what depends on something broken is left out or unverified."""
    files = DeviceFiles(home)
    try:
        record = files.load()
        certificate = _certificate(files, clock)
    except AitradingError as exc:
        return [
            _broken("identity", exc),
            _disk(home),
            *_package(kind),
            *_security(home, files, environ),
        ]
    identity = Finding("identity", Verdict.OK, f"device {record.device}")
    return [
        identity,
        *_clear_password(home, environ),
        certificate,
        *_server(record, clock),
        _link(record, files),
        _disk(home),
        *_terminal(home, record, clock, kind, environ),
        *availability_findings(home, clock),
        *_security(home, files, environ),
        *_running(home, record),
    ]


def _certificate(files: DeviceFiles, clock: Clock) -> Finding:
    validity, now_ns = files.certificate().validity, clock.now_ns()
    ends = rfc3339_of_ns(validity.not_after_ns)
    if now_ns < validity.not_before_ns:
        begins = rfc3339_of_ns(validity.not_before_ns)
        return Finding("certificate", Verdict.BROKEN, f"valid from {begins}: this clock is behind",
                       "Set the machine's clock.")  # fmt: skip
    if now_ns >= validity.not_after_ns:
        return Finding("certificate", Verdict.BROKEN, f"ended {ends}",
                       "Start the client: it renews for 30 days; then enrol again.")  # fmt: skip
    if now_ns >= due_ns(validity) + 3_600 * NS_PER_S:
        return Finding("certificate", Verdict.WARNING, f"ends {ends}, renewal is overdue",
                       "Start the client and look at its log.")  # fmt: skip
    return Finding("certificate", Verdict.OK, f"ends {ends}")


def _clear_password(home: Path, environ: Mapping[str, str]) -> list[Finding]:
    try:
        require_no_password(environ, home / CONFIG_NAME)
    except AitradingError as exc:
        return [_broken("password", exc)]
    return []


def _server(record: DeviceRecord, clock: Clock) -> list[Finding]:
    api = ServerApi(record.server, record.trust)
    try:
        api.get(PROBE_PATH, _Anything)
    except AitradingError as exc:
        return [_broken("server", exc)]
    ahead_s = None
    if api.server_time is not None:  # told in whole seconds, so half a second is its middle
        ahead_s = (now_utc(clock) - api.server_time).total_seconds() - 0.5
    found = f"{record.server.url} proved to be the enrolled one"
    return [Finding("server", Verdict.OK, found), clock_finding(ahead_s)]


def _link(record: DeviceRecord, files: DeviceFiles) -> Finding:
    """A handshake as the link makes it: the server must accept this device's certificate."""
    server = record.server
    request = f"GET {LINK_PATH} HTTP/1.1\r\nHost: {server.link_name}\r\nConnection: close\r\n\r\n"
    try:
        with (
            socket.create_connection((server.host, server.port), TIMEOUT_S) as plain,
            client_context(record.trust, files.tls).wrap_socket(
                plain, server_hostname=server.link_name
            ) as secure,
        ):
            secure.sendall(request.encode())
            answered = secure.recv(16).startswith(b"HTTP/1.1 ")
    except ssl.SSLError as exc:
        remedy = "Look at `aitrading device list` on the server; enrol again if it is revoked."
        return Finding("link", Verdict.BROKEN, f"TLS failed: {ssl_reason(exc)}", remedy)
    except OSError as exc:
        return Finding("link", Verdict.BROKEN, f"cannot connect: {exc}", "Look at `server` above.")
    if not answered:
        return Finding("link", Verdict.BROKEN, "no answer", "Look at the edge on the server.")
    return Finding("link", Verdict.OK, f"{server.link_name} accepts this device's certificate")


def _disk(home: Path) -> Finding:
    place = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    found = f"{free // 1024**2} MiB free"
    if free < FREE_BYTES_WANTED:
        return Finding("disk", Verdict.WARNING, found, "Free space: unsent ticks wait here.")
    return Finding("disk", Verdict.OK, found)


def _package(kind: TerminalKind) -> list[Finding]:
    """What keeps this kind of terminal from being used at all."""
    if kind is TerminalKind.SIM:
        return []
    if import_gives_twin():
        spec = TERMINAL_REPLACED
        return [Finding("terminal", Verdict.WARNING, spec.message, spec.remedy)]
    if real_package_is_installed():
        return []
    return [Finding("terminal", Verdict.WARNING,
                    f"the package MetaTrader5 is not installed ({sys.platform})",
                    "Only `run --terminal sim` works here.")]  # fmt: skip


def _terminal(
    home: Path, record: DeviceRecord, clock: Clock, kind: TerminalKind, environ: Mapping[str, str]
) -> list[Finding]:
    """As the running client sees it; without one a worker tries it."""
    if client_status(home, record) is not None:
        return _terminal_of_client(home)
    if (missing := _package(kind)) or _clear_password(home, environ):
        return missing
    try:
        return terminal_findings(try_terminal(home, kind, clock, environ))
    except AitradingError as exc:
        return [_broken("terminal", exc)]


def _terminal_of_client(home: Path) -> list[Finding]:
    told = asked(home, TERMINAL_PATH, TERMINAL_TIMEOUT_S)
    try:
        return terminal_findings(msgspec.convert(told, TerminalReport))
    except msgspec.ValidationError:
        return [Finding("terminal", Verdict.BROKEN, "the running client does not tell how it is",
                        "Restart the client; it may be of another version.")]  # fmt: skip


def availability_findings(home: Path, clock: Clock) -> list[Finding]:
    """The running month of each terminal, as far as the client measured it."""
    month = datetime_of_ns(clock.now_ns()).strftime("%Y-%m")
    findings: list[Finding] = []
    for terminal, months in read_availability(home / FILE_NAME).items():
        measured = months.get(month)
        if measured is None or measured.share is None:
            continue
        what = f"availability of {terminal}"
        found = (
            f"{100 * measured.share:.3f} % of {measured.measured_s / 3_600:.1f} h measured in "
            f"{month} (wanted {100 * AVAILABILITY_WANTED:.1f} %): wedged {measured.wedged_s:.0f} s, away "
            f"{measured.away_s:.0f} s, {measured.failures} failures"
        )
        if measured.share >= AVAILABILITY_WANTED:
            findings.append(Finding(what, Verdict.OK, found))
        else:
            remedy = "See the client's log for the times; docs/how-to/terminal-workers.md."
            findings.append(Finding(what, Verdict.WARNING, found, remedy))
    return findings


def _security(home: Path, files: DeviceFiles, environ: Mapping[str, str]) -> list[Finding]:
    """The ground the client stands on: its files, who watches, and each measure as read back."""
    hardening = _hardening(home, confined=_is_confined(home, environ))
    return [_released(files), *_registered(), _surroundings(), *hardening]


def _is_confined(home: Path, environ: Mapping[str, str]) -> bool:
    try:
        return load_config(home, environ).get(ConfinementSettings).enabled
    except AitradingError:  # told elsewhere; the client does not start with it
        return True


def _released(files: DeviceFiles) -> Finding:
    report = Installation(seen=files.release_seen).check(whole=True)
    if report.state is FilesState.ALTERED:
        return Finding("files", Verdict.BROKEN, "; ".join(report.findings),
                       "Nothing new may be opened. Install the release again from a trusted "
                       "copy and find out who changed it.")  # fmt: skip
    if report.state is FilesState.UNSIGNED:
        return Finding("files", Verdict.UNVERIFIED, "no signed list of files: built from source",
                       "Install a signed release if you want changes noticed.")  # fmt: skip
    return Finding("files", Verdict.OK, f"{report.checked} files of {report.version} are intact")


def _registered() -> list[Finding]:
    """What an installer left in the registry of Windows, if one did."""
    try:
        record = registration()
    except OSError as exc:
        return [Finding("registration", Verdict.BROKEN, f"cannot be read: {exc}",
                        "Repair the installation: msiexec /fa with the installer.")]  # fmt: skip
    if record is None:
        return []
    found = f"version {record.version} in {record.folder}"
    if record.writers:
        return [Finding("registration", Verdict.BROKEN,
                        f"{found}; can be changed by {', '.join(record.writers)}",
                        "Install again and find out who opened it.")]  # fmt: skip
    return [Finding("registration", Verdict.OK, f"{found}; administrators alone can change it")]


def _surroundings() -> Finding:
    seen = observe()
    if seen.is_quiet:
        return Finding(
            "surroundings", Verdict.OK, "no debugger, no suspicious variables, no foreign code"
        )
    told = [seen.debugger] if seen.debugger else []
    told += [f"the variable {name} is set" for name in seen.environment]
    told += [
        f"{path} is loaded and is neither the client's nor the system's" for path in seen.foreign
    ]
    return Finding("surroundings", Verdict.WARNING, "; ".join(told),
                   "Start the client without them, unless you set them yourself.")  # fmt: skip


def _hardening(home: Path, *, confined: bool) -> list[Finding]:
    """As a fresh process of this installation stands; this one stays as it is."""
    try:
        rows = harden_a_child(home, confined=confined)
    except (OSError, subprocess.SubprocessError, ValueError) as exc:
        return [Finding("hardening", Verdict.UNVERIFIED, f"no process could be tried: {exc}")]
    return [
        Finding(
            f"hardening: {row['name']}",
            _VERDICTS[Outcome(row["outcome"])],
            f"{row['outcome']}: {row['why']}" if row["why"] else str(row["outcome"]),
        )
        for row in rows
    ]


_VERDICTS: Final = {
    Outcome.ENFORCED: Verdict.OK,
    Outcome.VERIFIED: Verdict.OK,
    Outcome.UNSUPPORTED: Verdict.UNVERIFIED,
    Outcome.REFUSED: Verdict.WARNING,
}


def _running(home: Path, record: DeviceRecord) -> list[Finding]:
    report: dict[str, Any] | None = client_status(home, record)
    if report is None:
        return [Finding("client", Verdict.WARNING, "not running", "aitrading-client run")]
    verdict = Verdict.OK if report["ready"] else Verdict.BROKEN
    remedy = "" if report["ready"] else "See `aitrading-client status`."
    client = Finding("client", verdict, f"running, {report['state']}", remedy)
    told = filter(None, (held_finding(report), warning_finding(report)))
    return [client, *told, *refused_findings(report)]


def _broken(what: str, exc: AitradingError) -> Finding:
    return Finding(what, Verdict.BROKEN, exc.message, exc.spec.remedy)
