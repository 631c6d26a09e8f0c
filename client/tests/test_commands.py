"""The commands as a person and a script use them."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from aitrading.client.cli import main
from aitrading.client.findings import Finding
from aitrading.client.held_back import held_finding, refused_findings, warning_finding
from aitrading.client.security.confinement import NAMES, SWITCHED_OFF
from aitrading.client.security.device_files import DeviceFiles, DeviceRecord, ServerAddress
from aitrading.client.security.landlock import SIGNALS_SINCE, require
from aitrading.client.security.measures import UnreadableError
from aitrading.core.kit.secret import Secret
from aitrading.core.security.crypto import TlsKey, Validity
from aitrading.core.security.enrolment import EnrolmentCode
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.core.testing.throwaway_ca import IDENTITY, ThrowawayCa, validity


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments), prog_name="aitrading-client")


def enrolled(home: Path, *, life: Validity | None = None) -> DeviceRecord:
    ca, key = ThrowawayCa(), TlsKey.generate()
    record = DeviceRecord(
        tenant=IDENTITY.tenant, device=IDENTITY.device,
        server=ServerAddress(host="localhost", port=1), server_ca=ca.pem.decode(), server_keys=(),
    )  # fmt: skip
    DeviceFiles(home).store(record, key, ca.device(key, life=life))
    return record


CODE = EnrolmentCode(
    tenant=IDENTITY.tenant, secret=Secret(b"s" * 32), ca_sha256=b"p" * 32
).text().reveal()  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        (("enroll", "nonsense", "--server", "https://localhost:1"), 1, "ENROLMENT_CODE_MALFORMED"),
        (("enroll", CODE, "--server", "localhost"), 1, "ENROLMENT_ADDRESS_INVALID"),
        (("enroll", CODE, "--server", "https://127.0.0.1:1"), 3, "LINK_UNREACHABLE"),
        (("enroll", CODE), 2, "Missing option '--server'"),
        (("status",), 1, "DEVICE_NOT_ENROLLED"),
        (("run", "--terminal", "sim"), 1, "DEVICE_NOT_ENROLLED"),
        (("run", "--terminal", "other"), 2, "'other'"),
    ],
)
def test_refusals_explain_themselves(
    home: Path, arguments: tuple[str, ...], exit_code: int, words: str
) -> None:
    result = run(*arguments, "--home", str(home))
    assert result.exit_code == exit_code
    assert words in result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""


def test_a_refusal_in_json(home: Path) -> None:
    result = run("status", "--json", "--home", str(home))
    assert json.loads(result.stdout)["error"]["code"] == "DEVICE_NOT_ENROLLED"


def test_an_enrolled_home_is_not_given_up_by_accident(home: Path) -> None:
    enrolled(home)
    result = run("enroll", CODE, "--server", "https://127.0.0.1:1", "--home", str(home))
    assert result.exit_code == 1
    assert "--replace" in result.stderr


def test_nothing_runs_here(home: Path) -> None:
    enrolled(home)
    result = run("status", "--home", str(home))
    assert (result.exit_code, "CLIENT_NOT_RUNNING" in result.stderr) == (3, True)
    (home / "run.json").write_text('{"pid": 1, "port": 1}')
    assert run("status", "--home", str(home)).exit_code == 3


@pytest.mark.parametrize(
    ("life", "verdict", "words"),
    [
        (None, "ok", "ends"),
        (validity(-100, -10), "broken", "ended"),
        (validity(86_400, 172_800), "broken", "clock is behind"),
        (validity(-72 * 3_600, 4 * 3_600), "warning", "overdue"),
    ],
)
def test_the_doctor_judges_the_certificate(
    home: Path, life: Validity | None, verdict: str, words: str
) -> None:
    enrolled(home, life=life)
    result = run("doctor", "--json", "--home", str(home))
    findings = {one["what"]: one for one in json.loads(result.stdout)}
    assert findings["certificate"]["verdict"] == verdict
    assert words in findings["certificate"]["found"]
    assert findings["server"]["verdict"] == "broken"
    assert result.exit_code == 1


def test_the_doctor_tells_what_of_the_hardening_holds(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_AUDIT", "x")
    before = privileges()
    findings = {one["what"]: one for one in json.loads(run_doctor(home).stdout)}
    assert findings["files"]["verdict"] == "unverified"
    assert "LD_AUDIT" in findings["surroundings"]["found"]
    if sys.platform == "linux":
        names = ("core-file", "dumpable", "no-new-privileges", "ambient-capabilities")
        for name in (*names, *(NAMES if has_landlock() else ())):
            assert findings[f"hardening: {name}"]["verdict"] == "ok"
        assert privileges() == before, "the doctor hardens a process of its own, not this one"


@pytest.mark.parametrize(
    ("uplink", "link", "told"),
    [
        ({"held": "LINK_SUBSCRIPTION_INACTIVE"}, {}, "subscription"),
        ({"held": "LINK_UNCHECKED"}, {}, "identity service"),
        ({}, {"last_error": "LINK_SHARE_FULL"}, "share of the server's spool"),
        ({}, {"last_error": "LINK_DEVICES_FULL"}, "as many devices"),
        ({}, {"last_error": "LINK_DEVICE_SHARED"}, "one device's certificate"),
        ({}, {"last_error": "LINK_SILENT"}, ""),
        ({}, {"last_error": None}, ""),
    ],
)
def test_it_is_told_why_the_server_takes_no_ticks_and_what_to_do(
    uplink: dict[str, object], link: dict[str, object], told: str
) -> None:
    parts = {"uplink": {"fields": {"pending_ticks": 7, **uplink}}, "link": {"fields": link}}
    finding = held_finding({"components": parts})
    assert (finding is not None) == bool(told)
    if finding is not None:
        assert told in finding.found
        assert "7 ticks are kept here" in finding.found
        assert finding.remedy


def test_the_doctor_tells_of_symbols_that_the_server_refuses() -> None:
    many = ", ".join(f"SYM{number}: LINK_FEEDS_FULL" for number in range(30))
    uplink = {"refused_streams": f"{many}, XAUUSD: LINK_STREAM_CONFLICT, EURUSD: NEWER_CODE"}
    parts = {"uplink": {"fields": uplink}}
    full, conflict, newer = refused_findings({"components": parts})
    assert "30 are refused (LINK_FEEDS_FULL): SYM0, " in full.found
    assert "limits.feeds_max" in full.remedy
    assert len(full.found) < 500
    assert "1 are refused (LINK_STREAM_CONFLICT): XAUUSD. " in conflict.found
    assert newer.found.endswith("EURUSD")
    assert newer.remedy
    assert not list(refused_findings({"components": {"uplink": {"fields": {}}}}))


def test_the_doctor_tells_of_a_second_client_with_the_same_key() -> None:
    def found(**fields: object) -> object:
        return warning_finding({"components": {"link": {"fields": fields}}})

    finding = found(warned_of="LINK_DEVICE_SHARED")
    assert isinstance(finding, Finding)
    assert "one device's certificate" in finding.found
    assert "revoke" in finding.remedy
    assert found(warned_of=None) is None


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")
def test_the_doctor_tells_that_confinement_is_switched_off(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AITRADING_CONFINEMENT_ENABLED", "false")
    findings = {one["what"]: one for one in json.loads(run_doctor(home).stdout)}
    for name in NAMES:
        told = findings[f"hardening: {name}"]
        assert told["verdict"] == "unverified"
        assert has_landlock() is (SWITCHED_OFF in told["found"])


def has_landlock() -> bool:
    try:
        require(SIGNALS_SINCE)
    except UnreadableError:
        return False
    return True


def privileges() -> list[str]:
    """Whether this process may still gain privileges, as the kernel says."""
    status = Path("/proc/self/status")
    if not status.exists():
        return []
    return [each for each in status.read_text().splitlines() if each.startswith("NoNewPrivs")]


def run_doctor(home: Path) -> Result:
    return run("doctor", "--json", "--home", str(home))


def start(home: Path, **environ: str) -> "subprocess.Popen[bytes]":
    with (home / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-I", "-m", "aitrading.client", "run", "--terminal", "sim",
             "--home", str(home)],
            env={**os.environ, "AITRADING_CONNECTOR_PROBE_PORT": "0", **environ},
            stderr=log,
        )  # fmt: skip


@pytest.mark.integration
@async_test
async def test_it_runs_without_a_server_and_stops_in_order(home: Path) -> None:
    enrolled(home)
    process = start(home)
    try:
        report = await eventually(lambda: status(home))
        assert report["live"]
        assert not report["ready"], "it was never linked"
        await eventually(lambda: status(home)["components"]["uplink"]["fields"]["pending_ticks"])
        listed = run("symbols", "--json", "--home", str(home))
        known = {one["name"]: one for one in json.loads(listed.stdout)}
        assert known["EURUSD"]["is_collected"]
        assert len(known["EURUSD"]["minute_closes"]) == 30
        await eventually(lambda: found(home)["broker time"]["verdict"] == "ok")
        terminal = found(home)
        assert terminal["terminal"]["found"].startswith("build 5836, answered in ")
        assert terminal["login"]["found"].endswith(" at Simulated-Demo")
        assert terminal["broker link"]["found"] == "connected, ping 2.4 ms"
        assert terminal["trading"]["verdict"] == "ok"
        assert terminal["symbols"]["found"] == "4 are collected"
        told = status(home)["components"]["security"]["fields"]
        assert told["measures_refused"] == ""
        assert told["foreign_code"] == ""
        if has_landlock():
            assert told["unconfined"] == ""
        second = await asyncio.to_thread(start(home).wait, 60)
        assert second == 1, "one client per home"
        assert "CLIENT_HOME_IN_USE" in (home / "log").read_text()
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 60) == 0
        assert not (home / "run.json").exists()
    finally:
        process.kill()
        process.wait()


@pytest.mark.integration
@pytest.mark.skipif(sys.platform != "linux", reason="Landlock is Linux's")
@async_test
async def test_a_client_whose_confinement_is_switched_off_says_so(home: Path) -> None:
    enrolled(home)
    process = start(home, AITRADING_CONFINEMENT_ENABLED="false")

    def unconfined() -> str:
        return str(status(home)["components"]["security"]["fields"]["unconfined"])

    try:
        await eventually(lambda: all(name in unconfined() for name in NAMES))
        assert has_landlock() is (SWITCHED_OFF in unconfined())
    finally:
        process.kill()
        process.wait()


def found(home: Path) -> dict[str, dict[str, str]]:
    return {one["what"]: one for one in json.loads(run_doctor(home).stdout)}


def status(home: Path) -> dict[str, dict[str, dict[str, dict[str, int | str]]]]:
    result: dict[str, dict[str, dict[str, dict[str, int | str]]]] = json.loads(
        run("status", "--json", "--home", str(home)).stdout
    )
    assert "components" in result
    return result


@pytest.mark.integration
@pytest.mark.parametrize(
    ("environ", "code"),
    [
        ({"MT5_PASSWORD": "canary-7391"}, "CREDENTIALS_IN_CLEAR"),
        ({"BACKEND_URL": "https://other.example:8000"}, "BACKEND_OTHER_SERVER"),
        ({"BACKEND_URL": "http://localhost:1"}, "ENROLMENT_ADDRESS_INVALID"),
        ({"MT5_SERVER": "Broker-Live"}, "MT5_LOGIN"),
    ],
)
def test_it_does_not_start_with_what_it_must_not_follow(
    home: Path, environ: dict[str, str], code: str
) -> None:
    enrolled(home)
    process = start(home, **environ)
    try:
        assert process.wait(60) == 1
    finally:
        process.kill()
        process.wait()
    log = (home / "log").read_text()
    assert code in log
    assert "canary-7391" not in log


def test_the_server_of_the_settings_is_where_one_enrols(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BACKEND_URL", "https://127.0.0.1:1")
    result = run("enroll", CODE, "--home", str(home))
    assert (result.exit_code, "https://127.0.0.1:1" in result.stderr) == (3, True)


def test_the_account_of_the_settings_is_the_one_that_is_stored(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MT5_LOGIN", "5012345")
    monkeypatch.setenv("MT5_SERVER", "Broker-Live")
    result = run("credentials", "set", "--protect", "passphrase", "--home", str(home))
    assert "DEVICE_NOT_ENROLLED" in result.stderr, "both options were found"


@pytest.mark.integration
def test_wrong_settings_are_told_all_at_once(home: Path) -> None:
    enrolled(home)
    process = start(
        home, AITRADING_CONNECTOR_POLL_TICKS="0", AITRADING_CLIENT_SPOOL_LIMIT_MB="many"
    )
    assert process.wait(60) == 1
    log = (home / "log").read_text()
    assert "connector.poll_ticks" in log
    assert "client_spool.limit_mb" in log
