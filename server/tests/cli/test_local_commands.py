"""Commands that need nothing but the home: settings, logs, traces, the authority."""

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from aitrading.core.kit.clock import SystemClock
from aitrading.core.security.file_sealing import FileKeys
from aitrading.server.cli.errors import SETTING_NOT_KNOWN
from aitrading.server.cli.up_run import announce
from aitrading.server.database_service.ticks.quarantine import Quarantine
from aitrading.server.kit.primary_record import PrimaryRecord, Standing
from aitrading.server.personal_data.file_keys import FileKeyFolder
from aitrading.server.supervisor.demo.report import DemoReport
from aitrading.server.supervisor.home import Home
from aitrading.server.supervisor.state import PlatformState, ReadyReport
from aitrading.server.testing.personal_data import DEVELOPMENT, write_file_keys

TRACE = "0af7651916cd43dd8448eb211c80319c"  # pragma: allowlist secret


def line(second: int, msg: str, **fields: Any) -> str:
    entry = {"ts": f"2026-11-21T03:00:{second:02d}.000000Z", "level": "INFO", "msg": msg}
    return json.dumps({**entry, "service": "s", **fields}) + "\n"


@pytest.fixture
def logs(home: Path) -> Path:
    folder = home / "logs"
    (folder / "data-bridge.log").write_text(
        line(1, "bridge one", trace_id=TRACE) + line(3, "bridge two", level="ERROR")
    )
    (folder / "envoy.log").write_text(line(2, "edge one", trace_id=TRACE) + "not json\n")
    return folder


def test_settings_tell_where_they_come_from(
    run: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "aitrading.toml").write_text("[gateway]\nsilent_stream_s = 120\n")
    monkeypatch.setenv("AITRADING_GATEWAY_PORT", "9443")
    found = json.loads(run("config", "show", "--json").stdout)
    assert found["gateway.silent_stream_s"]["value"] == "120"
    assert "aitrading.toml" in found["gateway.silent_stream_s"]["source"]
    assert found["gateway.port"] == {
        "value": "9443",
        "layer": "environment",
        "source": "environment variable AITRADING_GATEWAY_PORT",
    }
    assert "120" in run("config", "explain", "gateway.silent_stream_s").stdout


def test_a_misspelt_setting_is_corrected(run: Any) -> None:
    result = run("config", "explain", "gateway.prot")
    assert result.exit_code == 1
    assert "did you mean gateway.port?" in result.stderr


def test_wrong_settings_are_told_all_at_once(run: Any, home: Path) -> None:
    (home / "aitrading.toml").write_text("[gateway]\nport = 70000\nlogin_burst = 'x'\n")
    result = run("config", "show")
    assert result.exit_code != 0
    assert "gateway.port" in result.stderr
    assert "gateway.login_burst" in result.stderr


def test_the_reference_holds_every_section(run: Any) -> None:
    said = run("config", "reference").stdout
    assert "## `[gateway]`" in said
    assert "## `[platform]`" in said


def test_logs_of_all_processes_are_merged_by_time(run: Any, logs: Path) -> None:
    assert logs
    said = run("logs", "tail", "-n", "3").stdout
    order = [said.index(text) for text in ("bridge one", "edge one", "bridge two")]
    assert order == sorted(order)


def test_logs_are_chosen_by_name_and_level(run: Any, logs: Path) -> None:
    assert logs
    assert "edge one" not in run("logs", "tail", "data-bridge").stdout
    errors = run("logs", "tail", "--level", "ERROR", "--json").stdout.splitlines()
    assert [json.loads(text)["msg"] for text in errors] == ["bridge two"]
    result = run("logs", "tail", "nobody")
    assert result.exit_code == 1
    assert "data-bridge, envoy" in result.stderr


def test_a_line_that_is_not_json_is_shown_as_it_is(run: Any, logs: Path) -> None:
    assert logs
    assert "not json" in run("logs", "tail", "envoy").stdout


def test_a_trace_is_followed_through_all_processes(run: Any, logs: Path) -> None:
    assert logs
    result = run("trace", TRACE)
    assert result.exit_code == 0
    assert result.stdout.index("bridge one") < result.stdout.index("edge one")
    assert "bridge two" not in result.stdout
    assert "NOT_RUNNING" in result.stderr, "the steps are with the platform"
    assert run("trace", "0" * 32).exit_code == 3


def test_what_strangers_made_us_log_cannot_steer_a_terminal(run: Any, logs: Path) -> None:
    forged = "x\x1b[2J\r\n03:00:09.000 ERROR    supervisor        forged\u2028\x9b1m"
    (logs / "edge.log").write_text(line(4, forged, fields={"path": forged}))
    said = run("logs", "tail", "edge").stdout
    assert len(said.splitlines()) == 1
    assert said.isprintable() or said.rstrip("\n").isprintable()
    assert r"x\x1b[2J\r\n03:00:09.000" in said


def test_the_authority_is_shown_and_installed(
    run: Any, api: Any, home: Path, tmp_path: Path
) -> None:
    assert api.url
    shown = json.loads(run("ca", "show", "--json").stdout)
    assert Path(shown["certificate"]) == home / "trust" / "edge-ca.pem"
    assert len(shown["sha256"]) == 64
    assert run("ca", "show", "--pem").stdout.startswith("-----BEGIN CERTIFICATE-----")
    refused = run("ca", "install", "--folder", str(tmp_path), stdin="n\n")
    assert refused.exit_code == 1
    assert list(tmp_path.glob("*.crt")) == []
    assert run("ca", "install", "--folder", str(tmp_path), "--yes").exit_code == 0
    (installed,) = tmp_path.glob("*.crt")
    assert installed.read_bytes() == (home / "trust" / "edge-ca.pem").read_bytes()


def test_without_an_authority_the_remedy_is_to_start(run: Any, tmp_path: Path) -> None:
    assert "aitrading up" in run("ca", "show").stderr
    result = run("ca", "install", "--folder", str(tmp_path / "none"), "--yes")
    assert result.exit_code == 1


def test_an_unknown_benchmark_is_named_with_the_known_ones(run: Any) -> None:
    result = run("bench", "nothing")
    assert result.exit_code == 1
    assert "bus" in result.stderr


@pytest.mark.parametrize("lines", ["-5", "0", "100001"])
def test_a_number_of_lines_that_makes_no_sense_is_refused(run: Any, lines: str) -> None:
    done = run("logs", "tail", "--lines", lines)
    assert done.exit_code == 2
    assert "1<=x<=100000" in done.stderr


@pytest.mark.parametrize("command", ["status", "rehearse"])
def test_the_schema_of_nothing_is_unavailable(run: Any, command: str) -> None:
    result = run("migrations", command)
    assert result.exit_code == 3
    assert "No platform runs in" in result.stderr


def test_the_newest_primary_is_shown_and_replaced_on_purpose(run: Any, home: Path) -> None:
    assert json.loads(run("primary", "show", "--json").stdout) == {"known": None}
    PrimaryRecord(home / "postgres-primary.json").note(Standing(cluster=7 * 10**18, timeline=4))
    told = {"cluster": "7000000000000000000", "timeline": 4}
    assert json.loads(run("primary", "show", "--json").stdout) == {"known": told}
    accepted = run("primary", "accept", "7000000000000000000", "2", "--json")
    assert json.loads(accepted.stdout) == {"known": {**told, "timeline": 2}, "before": told}
    assert "timeline 2" in run("primary", "show").stdout
    assert run("primary", "accept", "0", "2").exit_code == 2


def test_a_running_platform_keeps_its_primary(run: Any, home: Path) -> None:
    with Home(home).lock(SystemClock()):
        refused = run("primary", "accept", "1", "1")
    assert refused.exit_code == 1
    assert "HOME_IN_USE" in refused.stderr
    assert json.loads(run("primary", "show", "--json").stdout) == {"known": None}


def test_a_quarantined_segment_is_listed_and_opened(run: Any, home: Path, tmp_path: Path) -> None:
    files = FileKeyFolder(write_file_keys(home / "keys"), environment=DEVELOPMENT)
    shelf = Quarantine(
        home / "quarantine", FileKeys(files.in_order), limit_bytes=1_000, clock=SystemClock()
    )
    cause = SETTING_NOT_KNOWN.error(wanted="odd\x1b[2J", suggestion=".")
    assert asyncio.run(shelf.keep("s-1", b"garbage", cause))
    listed = run("quarantine", "list").stdout
    assert "SETTING_NOT_KNOWN" in listed
    assert "\x1b" not in listed
    assert json.loads(run("quarantine", "list", "--json").stdout)[0]["segment"] == "s-1"
    target = tmp_path / "copy"
    assert run("quarantine", "open", "s-1", "--to", str(target)).exit_code == 0
    assert (target.read_bytes(), target.stat().st_mode & 0o777) == (b"garbage", 0o600)
    for wrong in ("s-2", "../s-1"):
        refused = run("quarantine", "open", wrong, "--to", str(target))
        assert refused.exit_code == 1
        assert "COPY_NOT_KNOWN" in refused.stderr
    nowhere = run("quarantine", "open", "s-1", "--to", str(tmp_path / "no" / "copy"))
    assert nowhere.exit_code == 1
    assert "Traceback" not in nowhere.stderr
    assert "COPY_NOT_WRITTEN" in nowhere.stderr


def test_the_roles_of_a_postgresql_elsewhere_are_printed_for_psql(run: Any, home: Path) -> None:
    first, again = run("migrations", "roles"), run("migrations", "roles")
    assert first.exit_code == 0
    assert first.stdout == again.stdout, "passwords are made once"
    assert "CREATE ROLE" in first.stdout
    for role in ("migrator", "database", "identity", "trading"):
        kept = home / "keys" / "passwords" / f"postgres-{role}"
        assert f"\\set {role}_password {kept.read_text()}\n" in first.stdout
        assert kept.stat().st_mode & 0o777 == 0o600
    assert json.loads(run("migrations", "roles", "--json").stdout)["sql"] == first.stdout


def test_a_first_start_tells_an_owner_to_set_up_a_second_factor(
    capsys: pytest.CaptureFixture[str],
) -> None:
    state = PlatformState(ready=True, started_in_s=1.0, services={}, engines={}, url="https://h")
    demo = DemoReport(link_code="CODE", link_lifetime_s=600)
    announce(msgspec.json.encode(ReadyReport(state=state, demo=demo)), as_json=False)
    told = capsys.readouterr().out
    assert "https://h/login#link=CODE" in told
    assert "set up a second factor" in told


@pytest.mark.parametrize(
    "command",
    [
        ("token", "--for", "demo/\udcff"),
        ("user", "link", "demo/\udcff"),
        ("trace", "\udcff"),
        ("chains", "show", "\udcff"),
    ],
    ids=" ".join,
)
def test_bytes_that_are_no_text_are_wrong_usage_and_no_defect(
    run: Any, supervisor: Any, command: tuple[str, ...]
) -> None:
    del supervisor
    result = run(*command)
    assert "ARGUMENT_NOT_TEXT" in result.stderr
    assert command[-1].replace("\udcff", "?") in result.stderr
    assert result.exit_code == 2


@pytest.mark.parametrize(
    "command", [("doctor",), ("quarantine", "list"), ("status",)], ids=" ".join
)
def test_a_home_that_is_no_folder_is_refused_and_not_shown_as_empty(
    run: Any, tmp_path: Path, command: tuple[str, ...]
) -> None:
    wrong = tmp_path / "passwd"
    wrong.write_text("")
    for home in (wrong, wrong / "below", tmp_path / ("n" * 300)):
        result = run(*command, "--home", str(home))
        assert "HOME_NOT_USABLE" in result.stderr, home
        assert (result.exit_code, result.stdout) == (3, "")
